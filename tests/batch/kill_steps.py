"""Kill a run at each step that it takes on the disk, one after the other, and run it again.

    python -m tests.batch.kill_steps FOLDER

Each run is a fork of this process, which has no threads, so that one takes milliseconds. Prints, as
a line of JSON, the number of kills and, for each that did harm, what was wrong.
"""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qchat.batch.request import Outcome, Request, Usage

from tests.batch.echo import Echo, echoing
from tests.batch.fuzz import rows_of, run_batch, whole_lines

STEPS = (
    "open",
    "write",
    "fsync",
    "fdatasync",
    "fchmod",
    "ftruncate",
    "replace",
    "rename",
    "unlink",
)

OLD = [
    *({"prompt": f"q{n}", "label": n} for n in range(6)),
    *("equal", "equal", "equal"),
    *({"prompt": "refuse me"}, {"prompt": 7}),
]
NEW = [
    {"prompt": "q5", "label": 5},
    *("equal", "equal"),
    {"prompt": 7},
    *({"prompt": f"q{n}", "label": n + 10} for n in (3, 1)),
    *({"prompt": f"q{n}", "label": n} for n in (0, 2)),
    {"prompt": "refuse me", "more": 1},
]


class Answering(Echo):
    """Answers a row with its question, and records in a file what it was asked."""

    async def answer(self, request: Request) -> Outcome:
        text = request.body["messages"][0]["content"]
        record(text)
        if text == "refuse me":
            from qchat.errors import Code, Failure

            return Outcome(failure=Failure(Code.INVALID_REQUEST, "no"))
        choice = {"message": {"content": f"answer: {text}"}, "finish_reason": "stop"}
        return Outcome(body={"choices": [choice], "model": "m"}, usage=Usage(1, 1))


def record(text: str) -> None:
    """Append to the file of what was asked."""
    with Path("asked").open("a") as file:
        file.write(f"{text}\n")


def write(rows: list[Any]) -> None:
    """Write the input."""
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def kill_at(step: int) -> None:
    """Have this process killed at its `step`-th call of one of `STEPS`, before the call."""
    left = [step]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def function(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **more)

        return function

    for name in STEPS:
        if hasattr(os, name):
            setattr(os, name, counted(getattr(os, name)))


def run_forked(folder: Path, prepare: Callable[[], None], **options: bool) -> int:
    """One run in `folder`, in a fork; its exit code, negative for a signal."""
    if not (pid := os.fork()):
        code = 99
        try:
            os.chdir(folder)
            os.environ["QCHAT_HOME"] = str(folder / "home")
            with echoing(Answering()):
                prepare()
                code = run_batch(Path("in.jsonl"), **options)
        finally:
            os._exit(code)
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def wrong_in(folder: Path) -> list[str]:
    """What is not as it is to be after the last run."""
    wrong: list[str] = []
    results = rows_of(folder / "in.results.jsonl")
    errors = rows_of(folder / "in.results.errors.jsonl")
    places = Counter([row["_qchat"]["line"] for row in results] + [row["line"] for row in errors])
    if places != dict.fromkeys(range(1, len(NEW) + 1), 1):
        wrong.append(f"places {sorted(places.items())}")
    for row in results:
        source = NEW[row["_qchat"]["line"] - 1]
        columns = {"prompt": source} if isinstance(source, str) else source
        if row | columns != row or row["output"] != f"answer: {row['prompt']}":
            wrong.append(f"alignment {row}")
    wrong += [f"input {row}" for row in errors if row["input"] != NEW[row["line"] - 1]]
    removed = Counter(row["prompt"] for row in rows_of(folder / "in.results.removed.jsonl"))
    if removed != {"q4": 1, "equal": 1}:
        wrong.append(f"removed {removed}")
    if whole_lines(folder / "in.results.damaged.jsonl") != [b"damaged"]:
        wrong.append("damaged")
    if left := list(folder.glob(".in.results.*jsonl*")):
        wrong.append(f"left {left}")
    asked = Counter((folder / "asked").read_text().splitlines())
    if asked != {**{f"q{n}": 1 for n in range(6)}, "equal": 3, "refuse me": 1}:
        wrong.append(f"asked {asked}")
    return wrong


def main(folder: Path) -> None:
    """Kill at every step there is."""
    first = folder / "first"
    first.mkdir()

    def nothing() -> None: ...

    os.chdir(first)
    write(OLD)
    assert run_forked(first, nothing) == 1
    results = first / "in.results.jsonl"
    results.write_bytes(b"damaged\n" + results.read_bytes())
    write(NEW)
    kills, problems = 0, []
    for step in range(1, 1000):
        copy = folder / str(step)
        shutil.copytree(first, copy)
        code = run_forked(copy, lambda step=step: kill_at(step))  # type: ignore[misc]
        if code == -signal.SIGKILL:
            kills += 1
            code = run_forked(copy, nothing)
        elif code == 1:
            break
        if code != 1 or (wrong := wrong_in(copy)):
            problems.append([step, code, wrong if code == 1 else []])
        shutil.rmtree(copy)
    print(json.dumps({"kills": kills, "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
