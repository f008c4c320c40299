"""Random edits of an input, and a storm of kills while a run follows them."""

import json
import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests import faults
from tests.batch.commands import Row, command, read, write


def edited(rows: Sequence[Row], rng: random.Random, fresh: str) -> list[Row]:
    """The rows after an edit; `fresh` is a text that no other edit has."""
    rows = [dict(row) for row in rows]
    at, to = sorted(rng.sample(range(len(rows) + 1), 2))
    match rng.choice(("insert", "delete", "shuffle", "double", "mend", "edit")):
        case "insert":
            rows[at:at] = [{"prompt": f"{fresh}.{n}"} for n in range(rng.randint(1, 9))]
        case "delete" if to - at < len(rows):
            del rows[at:to]
        case "shuffle":
            rng.shuffle(rows)
        case "double":
            rows[at:at] = [dict(row) for row in rows[at : min(to, at + 5)]]
        case "mend":
            for row in rows[at:to]:
                row["label"] = f"{fresh}.{row['prompt']}"
        case _:
            for n, row in enumerate(rows[at : min(to, at + 5)]):
                row["prompt"] = f"{fresh}.{n}"
    return rows


def check_alignment(rows: Sequence[Row], results: Sequence[Row]) -> None:
    """Check that each row has its answer once, in a line that repeats the row as it is today."""
    places = {row["_qchat"]["line"]: row for row in results}  # type: ignore[index]
    assert len(places) == len(results) == len(rows)
    for line, row in enumerate(rows, 1):
        result = places[line]
        assert {name: result.get(name) for name in ("prompt", "label")} == {
            "prompt": row["prompt"],
            "label": row.get("label"),
        }
        assert result["output"] == f"echo: {row['prompt']}"


def storm(rng: random.Random, rows: int, kills: int) -> None:
    """Run in this folder, edit, kill, edit, kill: at the end each row stands there once, aligned,
    and no row was asked again whose answer was on disk."""
    current: list[Row] = [{"prompt": f"q{n}"} for n in range(rows)]
    asked: Counter[str] = Counter()
    with faults.running(answers="latency=0.02", keep=0) as server:
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "8")
        write("in.jsonl", *current)
        for kill in range(kills):
            run = subprocess.Popen(args, stderr=subprocess.DEVNULL)
            try:
                run.wait(timeout=rng.uniform(0.3, 2.5))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
            current = edited(current, rng, f"e{kill}")
            write("in.jsonl", *current)
        last = subprocess.run(args, capture_output=True, text=True, timeout=600)
        assert last.returncode == 0, last.stderr
        asked.update(server.log.answered)
    check_alignment(current, read("in.results.jsonl"))
    removed = Path("in.results.removed.jsonl")
    lines = read("in.results.jsonl") + (read(removed.name) if removed.exists() else [])
    answers = Counter(str(row["prompt"]) for row in lines)
    # A kill costs the rows in flight, and no others.
    assert sum((asked - answers).values()) <= 8 * kills, json.dumps(asked - answers)
