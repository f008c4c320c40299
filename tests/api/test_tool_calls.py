"""Tool calls in a streamed answer: collected, and drawn as Markdown."""

import pytest

from qchat.api.stream import StreamProgress, apply_chunk, finish_stream
from qchat.api.tool_calls import ToolCalls


def delta(index: int, name: str | None = None, arguments: str | None = None) -> dict[str, object]:
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}}]}


def test_calls_are_collected_over_deltas() -> None:
    calls = ToolCalls()
    text = "".join(
        calls.text(one)
        for one in (
            delta(0, "get_weather", ""),
            delta(0, None, '{"city": '),
            delta(0, None, '"Bern"}'),
            delta(1, "now"),
            delta(2, "a`b\n", "{}\n"),
        )
    )
    text += calls.end()
    assert [(call.name, call.arguments) for call in calls.calls] == [
        ("get_weather", '{"city": "Bern"}'),
        ("now", ""),
        ("a`b\n", "{}\n"),
    ]
    assert text == (
        '\n\nTool call: **`get_weather`**\n\n````json\n{"city": "Bern"}\n````\n'
        "\n\nTool call: **`now`**\n\n````json\n\n````\n"
        "\n\nTool call: **`a'b`**\n\n````json\n{}\n````\n"
    )
    assert calls.end() == ""


def test_calls_follow_the_text_of_an_answer() -> None:
    progress = StreamProgress(shows_tool_calls=True)
    chunks = [
        {"choices": [{"delta": {"reasoning": "I need the weather."}}]},
        {"choices": [{"delta": {"content": "Let me see."}}]},
        {"choices": [{"delta": delta(0, "look", "{}")}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]
    for chunk in chunks:
        list(apply_chunk(progress, chunk))
    finish_stream(progress)
    answer = progress.splitter.answer
    assert answer.reasoning == "I need the weather."
    assert answer.content == "Let me see.\n\nTool call: **`look`**\n\n````json\n{}\n````\n"
    silent = StreamProgress()
    for chunk in chunks:
        list(apply_chunk(silent, chunk))
    finish_stream(silent)
    assert silent.splitter.answer.content == "Let me see."
    assert silent.as_json(None)["tool_calls"] == [{"name": "look", "arguments": "{}"}]


def test_the_older_form() -> None:
    calls = ToolCalls()
    calls.text({"function_call": {"name": "f", "arguments": "{}"}})
    assert [call.name for call in calls.calls] == ["f"]


@pytest.mark.parametrize("wrong", [{"tool_calls": 3}, {"tool_calls": ["x"]}])
def test_a_wrong_format_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        ToolCalls().text(wrong)
