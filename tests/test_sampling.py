"""Sampling: precedence, presets in both modes, ranges."""

import json
import math
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from qchat import cli_options as options
from qchat.errors import QchatError, UsageError
from qchat.sampling import PRESETS, Sampling

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
THINKS = {"chat_template_kwargs": {"enable_thinking": True}}


def test_unset_values_add_nothing() -> None:
    assert Sampling().fill(CHAT) == CHAT


def test_fill_makes_a_new_body_and_leaves_the_old_one_alone() -> None:
    body = {**CHAT, "chat_template_kwargs": {"a": 1}}
    before = json.dumps(body)
    filled = Sampling(thinking=True, stop=("x",)).fill(body)
    assert json.dumps(body) == before
    assert filled["stop"] == ["x"]
    assert filled["chat_template_kwargs"] == {"a": 1, "enable_thinking": True}


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [
        ("max_tokens", 5, 7),
        ("temperature", 0.5, 0),
        ("top_p", 0.5, 1),
        ("top_k", 3, -1),
        ("min_p", 0.1, 0),
        ("presence_penalty", 1, -1),
        ("frequency_penalty", 1, -1),
        ("repetition_penalty", 1.1, 1),
        ("seed", 1, 0),
    ],
)
def test_each_value_is_filled_and_the_rows_own_wins(name: str, value: float, own: float) -> None:
    sampling = Sampling(**{name: value})  # type: ignore[arg-type]
    assert sampling.fill(CHAT)[name] == value
    assert sampling.fill({**CHAT, name: own})[name] == own


def test_max_completion_tokens_of_a_row_counts_as_set() -> None:
    filled = Sampling(max_tokens=9).fill({**CHAT, "max_completion_tokens": 3})
    assert "max_tokens" not in filled


def test_the_rows_own_thinking_wins() -> None:
    body = {**CHAT, "chat_template_kwargs": {"enable_thinking": True}}
    assert Sampling(thinking=False).fill(body)["chat_template_kwargs"]["enable_thinking"] is True


def test_no_thinking_switch_for_a_body_without_messages() -> None:
    assert Sampling(thinking=False).fill({"prompt": "a"}) == {"prompt": "a"}


def test_a_rows_odd_template_arguments_are_left_to_the_server() -> None:
    body = {**CHAT, "chat_template_kwargs": "no object"}
    assert Sampling(thinking=True).fill(body) == body


def test_extra_wins_over_a_preset_and_loses_to_the_row() -> None:
    sampling = Sampling(preset="qwen3-thinking", extra={"temperature": 0.9, "n": 2})
    assert sampling.fill(CHAT)["temperature"] == 0.9
    filled = sampling.fill({**CHAT, "temperature": 1.1, "n": 3})
    assert (filled["temperature"], filled["n"]) == (1.1, 3)


def test_merged_over() -> None:
    upper = Sampling(temperature=0.0, extra={"a": 1})
    lower = Sampling(temperature=1.0, top_k=5, extra={"a": 0, "b": 2}, preset="fast")
    merged = upper.merged_over(lower)
    assert merged == Sampling(temperature=0.0, top_k=5, extra={"a": 1, "b": 2}, preset="fast")


def test_the_model_cards_values() -> None:
    filled = Sampling(preset="qwen3-thinking").fill(CHAT)
    assert filled == {
        **CHAT,
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "min_p": 0.0,
        "chat_template_kwargs": {"enable_thinking": True},
    }
    filled = Sampling(preset="qwen3-nonthinking").fill(CHAT)
    assert (filled["temperature"], filled["top_p"], filled["top_k"]) == (0.7, 0.8, 20)


def test_an_explicit_value_wins_over_the_preset() -> None:
    filled = Sampling(preset="code", temperature=0.0, max_tokens=4000).fill(CHAT)
    assert (filled["temperature"], filled["max_tokens"], filled["top_p"]) == (0.0, 4000, 0.5)


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("how", ["option", "extra", "row"])
def test_no_preset_is_cold_or_cut_short_while_thinking(name: str, how: str) -> None:
    body = CHAT
    sampling = Sampling(preset=name)
    if how == "option":
        sampling = Sampling(preset=name, thinking=True)
    elif how == "extra":
        sampling = Sampling(preset=name, extra=THINKS)
    else:
        body = {**CHAT, **THINKS}
    filled = sampling.fill(body)
    assert filled["chat_template_kwargs"]["enable_thinking"] is True
    assert filled["temperature"] >= 0.6
    assert filled["top_p"] >= 0.95
    assert "max_tokens" not in filled


def test_the_guides_presets_answer_without_thinking() -> None:
    for name, temperature, limit in (("fast", 0.3, 50), ("creative", 0.9, 500), ("code", 0.1, 200)):
        filled = Sampling(preset=name).fill(CHAT)
        assert (filled["temperature"], filled["max_tokens"]) == (temperature, limit)
        assert filled["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    "values",
    [
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": 1.5},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": math.nan},
        {"temperature": "1"},
        {"top_p": 0},
        {"top_p": 1.01},
        {"top_k": -2},
        {"min_p": -0.01},
        {"min_p": 1.01},
        {"presence_penalty": 2.5},
        {"presence_penalty": math.inf},
        {"frequency_penalty": -2.5},
        {"repetition_penalty": 0},
        {"repetition_penalty": 2.5},
        {"seed": 2**63},
        {"seed": -(2**63) - 1},
        {"stop": ("",)},
        {"preset": "codee"},
        {"extra": {"stream": True}},
        {"extra": {"messages": []}},
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Sampling(**values)
    name = next(iter(values))
    text = str(caught.value)
    assert name in text or name == "extra"
    assert text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    "values",
    [
        {"max_tokens": 1},
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 1},
        {"top_k": -1},
        {"top_k": 0},
        {"min_p": 1},
        {"presence_penalty": -2},
        {"seed": 2**63 - 1},
        {"seed": -(2**63)},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(values: dict[str, Any]) -> None:
    assert Sampling(**values).fill(CHAT).items() >= values.items()


values = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a"])
json_values = values | st.lists(values, max_size=2)


@given(
    body=st.dictionaries(
        st.sampled_from(["temperature", "stop", "n", "seed", "x", "messages"]), json_values
    ),
    preset=st.sampled_from([None, *PRESETS]),
)
def test_whatever_a_body_says_stays(body: dict[str, Any], preset: str | None) -> None:
    sampling = Sampling(preset=preset, seed=3, extra={"n": 1, "x": 2})
    filled = sampling.fill(body)
    assert filled.items() >= body.items()
    assert sampling.fill(filled) == filled  # a filled body says everything itself


@click.command()
@options.sampling_options
def _show(sampling: Sampling) -> None:
    click.echo(repr(sampling))


def parse(*args: str) -> Sampling:
    """The value that a command gets."""
    got: list[Sampling] = []

    @click.command()
    @options.sampling_options
    def command(sampling: Sampling) -> None:
        got.append(sampling)

    command.main(list(args), standalone_mode=False)
    return got[0]


def test_every_option_reaches_the_value() -> None:
    line = (
        "--preset code --max-tokens 5 --temperature 0.2 --top-p 0.3 --top-k 4 --min-p 0.1 "
        "--presence-penalty -1 --frequency-penalty 0.5 --repetition-penalty 1.1 "
        "--seed 7 --stop a --stop b --no-thinking"
    )
    assert parse(*line.split(), "--extra-body", '{"n": 2}') == Sampling(
        preset="code",
        max_tokens=5,
        temperature=0.2,
        top_p=0.3,
        top_k=4,
        min_p=0.1,
        presence_penalty=-1,
        frequency_penalty=0.5,
        repetition_penalty=1.1,
        seed=7,
        stop=("a", "b"),
        thinking=False,
        extra={"n": 2},
    )
    assert parse() == Sampling()
    assert parse("--thinking").thinking is True


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--extra-body", "{"], "not JSON: see line 1, column 2."),
        (["--extra-body", "[1]"], "JSON object"),
        (["--extra-body", '{"a": NaN}'], "NaN"),
        (["--extra-body", "[" * 100_000], "JSON"),
        (["--extra-body", '{"seed": 1}', "--seed", "2"], "seed is set twice"),
        (["--extra-body", '{"stop": "a"}', "--stop", "b"], "stop is set twice"),
        (["--preset", "codee"], "code"),
        (["--temperature", "warm"], "warm"),
    ],
)
def test_bad_options_are_usage_errors(args: list[str], message: str) -> None:
    result = CliRunner().invoke(_show, args)
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_a_value_out_of_range_is_qchats_own_error() -> None:
    result = CliRunner().invoke(_show, ["--temperature", "3"])
    assert isinstance(result.exception, QchatError)
    assert "between 0 and 2" in str(result.exception)
