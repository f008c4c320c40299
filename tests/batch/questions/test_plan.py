"""The requests of one row's questions, and what their answers make of it."""

import pytest
from qchat.batch.questions.answers import columns_of
from qchat.batch.questions.definition import parse_questions
from qchat.batch.questions.plan import EngineTraits, QuestionPlan
from qchat.batch.request import CHAT, Outcome, Request, RowKind

from qchat.errors import Code, EngineError, Failure
from qchat.json_types import JsonObject

from .labeller import options_of, outcome

MOOD = "questions: [{name: mood, type: choice, ask: 'How?', options: [good, bad, mixed]}]"
STARS = "questions: [{name: stars, type: score, ask: 'How many?', range: [1, 3]}]"


def plan(text: str, traits: EngineTraits | None = None, *, swap: bool = False) -> QuestionPlan:
    questions = parse_questions(text, "q.yaml", swap=swap)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "It is nice."}]
    body = {"messages": messages, "model": "m", "top_p": 0.5, **questions.body({})}
    row = Request(0, 1, "a", RowKind.PROMPT, CHAT, body, {}, "d" * 32)
    return QuestionPlan(row, EngineTraits() if traits is None else traits)


def answer(last: Outcome | None, name: str = "mood") -> JsonObject:
    assert last is not None and last.body is not None, last
    return last.body["answers"][name]  # type: ignore[no-any-return]


def test_one_token_is_asked_for_with_its_alternatives() -> None:
    steps = plan(MOOD)
    body = steps.request.body
    assert body["messages"][0] == {"role": "system", "content": "s"}
    assert body["messages"][1]["content"] == (
        "It is nice.\n\nHow?\nA. good\nB. bad\nC. mixed\n\n"
        "Answer with the letter of one option only."
    )
    assert (body["max_tokens"], body["temperature"]) == (1, 0)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"questions", "swap", "instruction", "top_p"} & body.keys()
    assert steps.request.digest != "d" * 32
    assert (steps.request.file, steps.request.line) == (0, 1)


def test_shares_and_mass() -> None:
    last = plan(MOOD).take(outcome({"A": 0.4, "B": 0.1, " C": 0.05, "C": 0.05, "The": 0.4}))
    value = answer(last)
    assert value["answer"] == "good"
    assert value["mass"] == pytest.approx(0.6)
    assert value["p"] == pytest.approx(0.4 / 0.6, abs=1e-6)
    assert value["probs"] == pytest.approx({"good": 4 / 6, "bad": 1 / 6, "mixed": 1 / 6}, abs=1e-6)
    assert value["bias"] is None


def test_the_swap_measures_and_removes_the_bias_of_the_order() -> None:
    steps = plan(MOOD, swap=True)
    first = {"A": 0.8, "B": 0.1, "C": 0.1}  # whatever stands first is likely
    assert list(options_of(steps.request).values()) == ["good", "bad", "mixed"]
    assert steps.take(outcome(first)) is None
    assert list(options_of(steps.request).values()) == ["mixed", "bad", "good"]
    last = steps.take(outcome(first))
    value = answer(last)
    assert value["probs"] == pytest.approx({"good": 0.45, "bad": 0.1, "mixed": 0.45})
    assert value["bias"] == pytest.approx(0.7)
    assert last is not None and last.usage.prompt_tokens == 20 and last.seconds == 1.0
    assert last.body is not None and last.body["requests"] == 2


def test_a_score_is_the_expectation() -> None:
    last = plan(STARS).take(outcome({"A": 0.1, "B": 0.2, "C": 0.7}))
    value = answer(last, "stars")
    assert value["answer"] == pytest.approx(0.1 + 0.4 + 2.1)
    assert value["p"] == pytest.approx(0.7)
    assert last is not None and last.body is not None
    assert list(columns_of(last.body)) == [
        *("usage", "stars", "stars_p", "stars_probs", "stars_mass")
    ]


def test_missing_options_are_nothing_where_no_more_can_be_asked() -> None:
    last = plan(MOOD).take(outcome({"A": 0.5, "B": 0.3, "The": 0.1}))
    assert answer(last)["probs"] == {"good": 0.625, "bad": 0.375, "mixed": 0}
    assert last is not None and last.body is not None and last.body["incomplete"] == 1


def test_a_row_none_of_whose_options_is_there_fails() -> None:
    last = plan(MOOD).take(outcome({"The": 0.6, "I": 0.4}))
    assert last is not None and last.failure is not None
    assert last.failure.code is Code.INVALID_ANSWER
    assert "'mood'" in last.failure.message


def test_missing_options_are_read_alone_and_then_by_their_ids() -> None:
    """As vLLM does it: first under a grammar, which tells a letter's id, then by the ids."""
    traits = EngineTraits(can_continue=True)
    steps = plan(MOOD, traits)
    assert steps.take(outcome({"The": 0.6, "I": 0.4})) is None
    assert steps.request.body["structured_outputs"] == {"choice": ["A", "B", "C"]}
    assert steps.take(outcome({"A": 0.2, "B": 0.7, "C": 0.1, "*": 0.0}, token_ids=[42])) is None
    assert steps.request.body["logprob_token_ids"] == [42]
    assert "structured_outputs" not in steps.request.body
    value = answer(steps.take(outcome({"The": 0.6, "B": 0.007})))
    assert value["probs"] == pytest.approx({"good": 0.2, "bad": 0.7, "mixed": 0.1})
    assert value["mass"] == pytest.approx(0.01)

    traits.label_ids |= {"A": 41, "C": 43}
    steps = plan(MOOD, traits)
    assert steps.take(outcome({"The": 0.6, "A": 0.1})) is None
    assert steps.request.body["logprob_token_ids"] == [41, 42, 43]
    value = answer(steps.take(outcome({"The": 0.6, "A": 0.1, "B": 0.05, "C": 0.05})))
    assert value["probs"] == pytest.approx({"good": 0.5, "bad": 0.25, "mixed": 0.25})
    assert value["mass"] == pytest.approx(0.2)


def test_of_26_options_a_server_tells_20() -> None:
    options = ", ".join(f"o{n}" for n in range(26))
    text = f"questions: [{{name: mood, type: choice, ask: Which, options: [{options}]}}]"
    steps = plan(text, EngineTraits(can_continue=True))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert steps.take(outcome({"A": 0.02, "The": 0.05, "I": 0.02})) is None
    assert steps.request.body["structured_outputs"] == {"choice": list(letters)}
    assert steps.request.body["top_logprobs"] == 20
    last = steps.take(outcome(dict.fromkeys(letters[:20], 0.05), token_ids=[41]))
    value = answer(last)
    assert len(value["probs"]) == 26 and value["p"] == pytest.approx(0.05)
    assert value["mass"] == pytest.approx(0.4)
    assert last is not None and last.body is not None and last.body["incomplete"] == 1


def test_a_letter_in_both_readings_tells_the_mass() -> None:
    steps = plan(MOOD, EngineTraits(can_continue=True))
    assert steps.take(outcome({"The": 0.5, "A": 0.2})) is None
    value = answer(steps.take(outcome({"A": 0.5, "B": 0.4, "C": 0.1}, token_ids=[41])))
    assert value["mass"] == pytest.approx(0.4)


def test_what_is_refused_of_more_readings_leaves_the_first() -> None:
    traits = EngineTraits(can_continue=True)
    steps = plan(MOOD, traits)
    assert steps.take(outcome({"The": 0.5, "A": 0.2})) is None
    last = steps.take(Outcome(failure=Failure(Code.INVALID_REQUEST, "no grammar here")))
    assert answer(last)["probs"] == {"good": 1, "bad": 0, "mixed": 0}
    assert last is not None and last.body is not None and last.body["incomplete"] == 1


def test_other_failures_are_the_rows() -> None:
    failure = Failure(Code.CONTEXT_LENGTH, "too long")
    last = plan(MOOD).take(Outcome(failure=failure))
    assert last is not None and last.failure is failure


def test_a_server_that_does_not_know_the_switch_is_asked_without() -> None:
    traits = EngineTraits()
    steps = plan(MOOD, traits)
    failure = Failure(Code.INVALID_REQUEST, "Unrecognized request argument: chat_template_kwargs")
    assert steps.take(Outcome(failure=failure)) is None
    assert "chat_template_kwargs" not in steps.request.body
    assert answer(steps.take(outcome({"A": 0.9, "B": 0.05, "C": 0.05})))["answer"] == "good"
    assert "chat_template_kwargs" not in plan(MOOD, traits).request.body


def test_a_model_that_thinks_all_the_same_gets_an_empty_thought() -> None:
    traits = EngineTraits(can_continue=True)
    steps = plan(MOOD, traits)
    assert steps.take(outcome({"<think>": 0.99, "A": 0.01})) is None
    body = steps.request.body
    assert body["messages"][-1] == {"role": "assistant", "content": "<think>\n\n</think>\n\n"}
    assert body["continue_final_message"] is True and body["add_generation_prompt"] is False
    assert answer(steps.take(outcome({"A": 0.9, "B": 0.05, "C": 0.05})))["answer"] == "good"
    assert plan(MOOD, traits).request.body["continue_final_message"] is True


def test_an_engine_without_logprobs_ends_the_run() -> None:
    message = {"role": "assistant", "content": "A"}
    bare = Outcome(body={"choices": [{"message": message, "finish_reason": "stop"}]})
    with pytest.raises(EngineError, match="logprobs"):
        plan(MOOD).take(bare)
    last = plan(MOOD, EngineTraits(has_logprobs=True)).take(bare)  # one answer that lacks them
    assert last is not None and last.failure is not None
