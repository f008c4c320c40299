"""What is said below an answer, as it ends and when it is read again."""

from dataclasses import replace

import pytest

from qchat.api.endpoint import Endpoint
from qchat.api.reasoning import ContentDelta, Reclassified
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.store import StoredMessage as Stored
from qchat.tui.actions.palette import _has_letters
from qchat.tui.chat.request_thread import AnswerResult, ChatRequest, RequestThread
from qchat.tui.screens.answer_info import rows_of
from qchat.tui.transcript.answer_stats import (
    KeyHints,
    message_from_result,
    message_from_stored,
    result_stats,
    stored_stats,
    total_tokens,
)

USAGE = {"completion_tokens": 21, "completion_tokens_details": {"reasoning_tokens": 7}}
END = AnswerResult("text", "thought", "demo", USAGE, "length", 0.5, 2.5)


def test_a_stored_answer_has_the_figures_that_it_had() -> None:
    timings = {"total_seconds": 2.5, "first_token_seconds": 0.5, "reasoning_seconds": 0.25}
    stored = Stored(
        *(4, "conversation", 3, "assistant", "text", "thought", MessageState.COMPLETE, 0.0, None),
        *("length", "demo", {}, {}, USAGE, timings),
    )
    live = message_from_result(END, MessageState.COMPLETE, 0.25, hints=KeyHints("R", "G"))
    assert "10.0 tok/s" in live.note and live.thought_tokens == 7
    assert message_from_stored(stored) == live._replace(id=4)
    bare = replace(stored, timings={}, usage={}, finish_reason=None)
    assert message_from_stored(bare).note == "demo"
    odd = replace(stored, timings={"total_seconds": "long", "first_token_seconds": []})
    assert stored_stats(odd) == () and message_from_stored(odd).note.endswith("demo")


def test_an_answer_at_the_token_limit_is_marked_as_truncated() -> None:
    note = message_from_result(END, MessageState.COMPLETE, None).note
    assert note.startswith("Truncated at the token limit · demo · ")
    bare = replace(END, model=None, usage=None, first_token=None)
    truncated = message_from_result(bare, MessageState.COMPLETE, None)
    assert truncated.note == "Truncated at the token limit"
    stopped = replace(END, finish_reason="stop")
    assert message_from_result(stopped, MessageState.COMPLETE, None).note.startswith("demo · ")


def test_a_failed_answer_says_what_can_be_done_with_it() -> None:
    failed = replace(END, error="It broke.")
    assert message_from_result(failed, MessageState.ERROR, None, hints=KeyHints("R", "G")).note == (
        "R retries · G continues the partial answer"
    )
    nothing = replace(failed, content="")
    assert (
        message_from_result(nothing, MessageState.ERROR, None, hints=KeyHints("R", "G")).note
        == "R retries"
    )
    error_message = "It answered: This model's maximum context length is 40 tokens. However, …"
    too_long = message_from_result(
        replace(nothing, error=error_message),
        MessageState.ERROR,
        None,
        hints=KeyHints("R", "G", "E", "D"),
    )
    assert too_long.note == "E edits the question · D removes messages"


@pytest.mark.parametrize("count", [10**400, -5, "21", None, [], 1.5])
def test_an_impossible_count_is_not_drawn(count: object) -> None:
    usage = {"completion_tokens": count, "completion_tokens_details": {"reasoning_tokens": count}}
    end = replace(END, usage=usage)
    assert result_stats(end) == ("first after 0.50 s",)
    assert total_tokens({"prompt_tokens": 1, "completion_tokens": count}) is None
    assert message_from_result(end, MessageState.COMPLETE, None).thought_tokens is None


async def test_thinking_that_was_not_opened_ends_where_the_answer_begins() -> None:
    class Silent(RequestThread):
        def _run(self) -> None:
            pass

    request = ChatRequest(Endpoint("http://127.0.0.1:1/v1"), "demo", [], Sampling())
    request_thread = Silent(request, lambda _events: None, lambda _end: None)
    request_thread._apply([ContentDelta("I wonder")])
    request_thread._apply([Reclassified("I wonder")])
    assert request_thread.first_content is None
    request_thread._apply([ContentDelta("The answer")])
    assert request_thread.first_content is not None


def test_titles_are_sifted_by_their_letters_in_order() -> None:
    assert _has_letters("what is the sky", "wisky") and not _has_letters("sky", "yks")
    assert not _has_letters("a" * 2_000, "a" * 30 + "q")  # a pattern would try for hours


def test_the_info_of_any_answer_that_is_stored() -> None:
    odd = {"server": None, "system": "Be brief.", "request": {"stop": ["\x1b[31m"], "n": 1}}
    usage = {
        "prompt_tokens": 3,
        "prompt_tokens_details": {},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "x": "y",
    }
    with_all = Stored(
        1, "c", None, "assistant", "", None, state=MessageState.ERROR, created=0.0,
        error="It broke.", used=odd, usage=usage, timings={"total_seconds": 1},
    )  # fmt: skip
    rows = dict(rows_of(with_all))
    assert rows["system prompt"] == "Be brief." and rows["error"] == "It broke."
    assert rows["server"] == "-" and rows["total time"] == "1.00 s"
    assert rows["completion_tokens_details.reasoning_tokens"] == "2"
    assert "tokens" not in rows
    bare = Stored(1, "c", None, "assistant", "", None, MessageState.STOPPED, 0.0)
    assert dict(rows_of(bare))["tokens"] == "not reported by the server"
