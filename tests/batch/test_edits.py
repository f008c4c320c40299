"""Any sequence of edits, against a simple model: what is asked is what has no answer yet."""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qchat.batch.request import Outcome, Request

from tests.batch.echo import Echo, echoing
from tests.batch.fuzz import rows_of, run_batch

QUESTIONS = st.sampled_from("abcde")
LABELS = st.none() | st.integers(0, 2)
IDS = st.none() | st.sampled_from(["i", "j", "in-2", "k"])
ROWS = st.one_of(
    QUESTIONS,
    st.fixed_dictionaries({"prompt": QUESTIONS}, optional={"label": LABELS, "custom_id": IDS}),
    st.builds(
        lambda text, custom_id: {
            "custom_id": custom_id,
            "body": {"messages": [{"role": "user", "content": text}]},
        },
        QUESTIONS,
        IDS,
    ),
)
EDITS = st.sampled_from(["insert", "delete", "shuffle", "double", "mend", "edit"])


class Recording(Echo):
    """Answers with the question; counts what it was asked, by form and question."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[bool, str]] = Counter()

    async def answer(self, request: Request) -> Outcome:
        text = request.body["messages"][0]["content"]
        self.asked[isinstance(request.source, dict) and "body" in request.source, text] += 1
        choice = {"message": {"content": f"to {text}"}, "finish_reason": "stop"}
        return Outcome(body={"choices": [choice], "model": "m"})


def question(row: Any) -> tuple[bool, str]:
    """Form and question of a row."""
    if isinstance(row, str):
        return False, row
    is_openai = "body" in row
    return is_openai, row["body"]["messages"][0]["content"] if is_openai else row["prompt"]


def edit(rows: list[Any], data: st.DataObject) -> list[Any]:
    rows = json.loads(json.dumps(rows))
    at = data.draw(st.integers(0, len(rows) - 1))
    match data.draw(EDITS):
        case "insert":
            rows[at:at] = data.draw(st.lists(ROWS, min_size=1, max_size=3))
        case "delete":
            del rows[at : at + data.draw(st.integers(1, 3))]
        case "shuffle":
            rows = list(data.draw(st.permutations(rows)))
        case "double":
            rows.append(rows[at])
        case "mend" if not isinstance(rows[at], str):
            rows[at] |= {"custom_id": data.draw(IDS)} if "body" in rows[at] else {"label": 9}
        case _:
            rows[at] = data.draw(ROWS)
    return rows or ["a"]


def check_results(folder: Path, rows: list[Any]) -> None:
    """Each row has one line, which repeats the row as it is now."""
    lines: dict[int, Any] = {}
    for line in rows_of(folder / "out.jsonl"):
        place = line["_qchat"]["line"] if "_qchat" in line else int(line["id"].split("-")[2])
        assert place not in lines
        lines[place] = line
    assert lines.keys() == set(range(1, len(rows) + 1))
    made: list[str] = []
    for place, row in enumerate(rows, 1):
        line = lines[place]
        is_openai, text = question(row)
        if is_openai:
            assert line["response"]["body"]["choices"][0]["message"]["content"] == f"to {text}"
            made.append(line["custom_id"])
            assert row["custom_id"] in (None, line["custom_id"])
        else:
            columns = {"prompt": row} if isinstance(row, str) else row
            assert list(line)[: len(columns)] == list(columns)
            assert line | columns == line and line["output"] == f"to {text}"
    unnamed = [row["custom_id"] is None for row in rows if question(row)[0]]
    names = [name for name, is_made in zip(made, unnamed, strict=True) if is_made]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("home")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_after_any_edits_every_row_stands_there_once_and_aligned(data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp(dir="."))
    engine = Recording()
    rows = data.draw(st.lists(ROWS, min_size=1, max_size=8))
    answered: Counter[tuple[bool, str]] = Counter()
    source = folder / "in.jsonl"
    with echoing(engine):
        for _edit in range(data.draw(st.integers(1, 4))):
            source.write_text("".join(json.dumps(row) + "\n" for row in rows))
            output = str(folder / "out.jsonl")
            if first := data.draw(st.integers(0, len(rows))):  # of them, which loses no answer
                engine.asked.clear()
                assert run_batch(source, output=output, limit=first) == 0
                assert engine.asked == Counter(map(question, rows[:first])) - answered
                answered += engine.asked
            engine.asked.clear()
            assert run_batch(source, output=output) == 0
            now = Counter(map(question, rows))
            assert engine.asked == now - answered
            check_results(folder, rows)
            answered = now
            if data.draw(st.integers(0, 3)):
                rows = edit(rows, data)
            else:
                source = source.rename(folder / f"in{len(source.stem)}.jsonl")
    shutil.rmtree(folder)
