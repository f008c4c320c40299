"""The order in which rows are sent."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from qchat.batch.lookahead import LONG_PROMPT, longest_first
from qchat.batch.request import CHAT, Request, RowKind

from qchat.json_types import JsonObject
from tests import faults
from tests.batch.commands import batch, once_each, write


def request(line: int, most: int | None, content: object = "x") -> Request:
    body: JsonObject = {"messages": [{"role": "user", "content": content}]}
    if most is not None:
        body["max_tokens"] = most
    return Request(0, line, f"r{line}", RowKind.STRING, CHAT, body, "x", "")


def order(rows: list[Request], lookahead: int) -> list[int]:
    return [row.line for row in longest_first(rows, lookahead)]


def test_long_ones_first_and_equal_ones_in_their_order() -> None:
    rows = [request(n, most) for n, most in enumerate([1, 9, 5, None, 9, 1])]
    assert order(rows, 100) == [3, 1, 4, 2, 0, 5]
    assert order(rows, 2) == [1, 3, 4, 2, 0, 5]
    assert order([request(n, 7) for n in range(50)], 10) == list(range(50))


def test_long_rows_are_not_buffered() -> None:
    picture = [{"type": "image_url", "image_url": {"url": "data:..."}}]
    rows = [request(0, 1), request(1, 1, picture), request(2, 1, "x" * LONG_PROMPT)]
    assert order(rows, 100) == [1, 2, 0]


@given(st.lists(st.none() | st.integers(1, 9)), st.integers(0, 20))
def test_all_come_once_and_none_is_read_too_early(limits: list[int | None], ahead: int) -> None:
    read: list[int] = []

    def reading() -> Iterator[Request]:
        for n, most in enumerate(limits):
            read.append(n)
            yield request(n, most)

    lines = []
    for row in longest_first(reading(), ahead):
        assert len(read) - len(lines) <= ahead + 1
        lines.append(row.line)
    assert sorted(lines) == list(range(len(limits)))


def test_a_run_asks_the_long_rows_first(home: object, server: faults.Running) -> None:
    write("in.jsonl", *({"prompt": f"row {n}", "max_tokens": 50 + n} for n in range(40)))
    assert batch("in.jsonl", "--base-url", server.url, "--concurrency", "1") == 0
    once_each("in.results.jsonl", 40)
    assert [r.prompt for r in server.log.records] == [f"row {n}" for n in reversed(range(40))]
