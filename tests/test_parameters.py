"""Sampling parameters as text and as JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat import parameters
from qchat.errors import UsageError
from qchat.sampling import RANGES, Sampling


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.2", 0.2),
        ("temperature", " 0,2 ", 0.2),
        ("temperature", "1", 1),
        ("temperature", "", None),
        ("temperature", "default", None),
        ("max_tokens", "1_000", 1000),
        ("max_tokens", "2e3", 2000),
        ("stop", "END, ###", ("END", "###")),
        ("stop", '["a, b", "\\n"]', ("a, b", "\n")),
        ("stop", ",", None),
        ("thinking", "On", True),
        ("thinking", "off", False),
        ("thinking", "auto", None),
    ],
)
def test_text_becomes_values(name: str, text: str, value: object) -> None:
    assert parameters.parse(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temperature", "warm", "temperature must be a number, not 'warm'"),
        ("temperature", "3", "between 0 and 2, not 3"),
        ("temperature", "nan", "between 0 and 2"),
        ("temperature", "9" * 5000, "between 0 and 2"),
        ("top_p", "0", "above 0 and at most 1"),
        ("max_tokens", "1.5", "an integer"),
        ("max_tokens", "inf", "an integer"),
        ("max_tokens", "0", "at least 1"),
        ("seed", "1e30", "too large"),
        ("stop", '["a"', "JSON list"),
        ("stop", "[1]", "stop must be non-empty"),
        ("thinking", "maybe", "on, off or auto"),
        ("temprature", "1", "did you mean 'temperature'"),
        ("colour", "red", "parameters are temperature"),
    ],
)
def test_what_is_no_value_is_a_sentence(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parameters.parse(name, text)


def test_every_parameter_of_sampling_can_be_changed_and_is_explained() -> None:
    fields = set(Sampling.__dataclass_fields__) - {"extra", "preset"}
    assert set(parameters.NAMES) == fields
    for name in (*parameters.NAMES, "preset"):
        assert parameters.about(name) and parameters.allowed(name)


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.floats(0.01, 1) for name, r in RANGES.items() if not r.whole},
        **{name: st.integers(1, 2**40) for name, r in RANGES.items() if r.whole},
        "thinking": st.booleans(),
        "stop": st.lists(st.text(min_size=1), min_size=1).map(tuple),
        "preset": st.just("code"),
        "extra": st.dictionaries(st.sampled_from(["n", "logprobs"]), st.integers()),
    },
)


@given(_VALUES)
def test_what_a_conversation_keeps_comes_back(values: dict[str, Any]) -> None:
    sampling = Sampling(**values)
    assert parameters.from_json(json.loads(json.dumps(parameters.to_json(sampling)))) == sampling
    if sampling.stop is not None:
        assert parameters.parse("stop", parameters.shown(sampling.stop)) == sampling.stop


def test_values_of_another_version_are_left_out() -> None:
    stored = {
        "temperature": 9,
        "top_p": 0.5,
        "warmth": 1,
        "stop": [1],
        "preset": ["x"],
        "seed": "1",
    }
    assert parameters.from_json(stored) == Sampling(top_p=0.5)
    assert parameters.from_json({"thinking": "x", "stop": "END", "seed": 1}) == Sampling(seed=1)
