"""The fields of a recipe's tables, checked: they may come from somebody else.

A recipe is never executed: a name, a model's id, numbers, and options of vLLM from a list of those
that only tune. What is not known is an error, so that a misspelt field is not silently ignored.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...i18n import _

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"\d{1,4}(\.\d{1,6}){1,3}")
_VALUE = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{0,300}")

OPTIONS = frozenset(
    {
        *("attention-backend", "block-size", "chat-template-content-format", "config-format"),
        *("enable-prefix-caching", "generation-config", "kv-cache-dtype", "load-format"),
        *("max-num-batched-tokens", "max-num-seqs", "moe-backend", "quantization"),
        *("tokenizer-mode",),
    }
)
"""vLLM's options that a recipe may give. None of them loads code or opens a file or a port."""

MODES = ("hybrid", "thinking", "instruct")
BASES = ("measured", "stored", "computed", "minimum")
_MOST = 1 << 40  # of any number


class RecipeError(ValueError):
    """A recipe that is not valid: which, and why."""


def name(value: Any) -> str:
    """A recipe's name."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        text = _("{name!r} is not a recipe's name")
        raise RecipeError(text.format(name=str(value)[:160]))
    return value


def recipe_values(table: Mapping[str, Any]) -> dict[str, Any]:
    """The checked arguments of a `Recipe`, but for its variants and YaRN."""
    _only(table, {*_REQUIRED, *_OPTIONAL, "variants", "yarn"})
    missing = sorted(_REQUIRED.keys() - table.keys())
    if missing:
        raise RecipeError(_("{field} is missing").format(field=missing[0]))
    return {
        field: check(field, table[field])
        for field, check in (_REQUIRED | _OPTIONAL).items()
        if field in table
    }


def variant_tables(table: Mapping[str, Any], precisions: Sequence[str]) -> Mapping[str, Any]:
    """The tables of a recipe's variants by precision."""
    variants = table.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise RecipeError(_("it has no variants"))
    _only(variants, set(precisions))
    return variants


def variant_values(table: Any) -> dict[str, Any]:
    """The checked arguments of a `Variant`, but for its precision."""
    if not isinstance(table, dict):
        raise RecipeError(_("a variant is a table"))
    _only(table, _VARIANT.keys())
    missing = sorted({"model", "weights_mib", "most_gpus"} - table.keys())
    if missing:
        raise RecipeError(_("{field} is missing in a variant").format(field=missing[0]))
    return {field: _VARIANT[field](field, value) for field, value in table.items()}


def yarn_values(table: Any) -> dict[str, Any] | None:
    """The checked arguments of a `Yarn`; None without one."""
    if table is None:
        return None
    if not isinstance(table, dict) or table.keys() != {"factor", "original", "rope_theta"}:
        raise RecipeError(_("yarn has a factor, original and rope_theta"))
    return {
        "factor": _positive("factor", table["factor"]),
        "original": _integer("original", table["original"]),
        "rope_theta": _positive("rope_theta", table["rope_theta"]),
    }


def _only(table: Mapping[str, Any], known: Any) -> None:
    unknown = sorted(str(key) for key in table.keys() - set(known))
    if unknown:
        raise RecipeError(_("{key!r} is unknown").format(key=unknown[0][:180]))


def _integer(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MOST:
        raise RecipeError(_("{field} is not a positive whole number").format(field=field))
    return value


def _count(field: str, value: Any) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else _integer(field, value)


def _positive(field: str, value: Any) -> float:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value) or not 0 < value < _MOST:
        raise RecipeError(_("{field} is not a positive number").format(field=field))
    return float(value)


def _match(pattern: re.Pattern[str]) -> Any:
    def check(field: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise RecipeError(_("{field} has an invalid value").format(field=field))
        return value

    return check


def _one_of(values: Sequence[str]) -> Any:
    def check(field: str, value: Any) -> str:
        if value not in values:
            raise RecipeError(
                _("{field} is none of: {names}").format(field=field, names=", ".join(values))
            )
        return str(value)

    return check


def _model(field: str, value: Any) -> str:
    if not isinstance(value, str) or not (value == "demo" or _MODEL.fullmatch(value)):
        raise RecipeError(
            _("{field} is not an id on the model hub, such as Qwen/Qwen3-8B").format(field=field)
        )
    return value


def _capability(field: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise RecipeError(_("{field} is not a pair of numbers").format(field=field))
    return _integer(field, value[0]), _count(field, value[1])


def _options(field: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise RecipeError(_("{field} is not a table").format(field=field))
    for option, setting in value.items():
        if option not in OPTIONS:
            text = _("the option {option!r} may not stand in a recipe")
            raise RecipeError(text.format(option=str(option)[:160]))
        if not isinstance(setting, str) or not _VALUE.fullmatch(setting):
            text = _("the option {option!r} has an invalid value")
            raise RecipeError(text.format(option=option))
    return tuple(value.items())


_REQUIRED: dict[str, Any] = {
    "name": lambda _field, value: name(value),
    "mode": _one_of(MODES),
    "active_b": _positive,
    "layers": _integer,
    "kv_heads": _integer,
    "head_dim": _integer,
    "context": _integer,
    "source": _match(_TEXT),
    "date": _match(re.compile(r"\d{4}-\d{2}-\d{2}")),
}
_OPTIONAL: dict[str, Any] = {
    "preset": _match(_WORD),
    "reasoning_parser": _match(_WORD),
    "tool_parser": _match(_WORD),
    "heads": _integer,
    "kv_layers": _integer,
    "kv_token_bytes": _integer,
    "index_token_bytes": _integer,
    "fixed_mib": _count,
    "preference": _integer,
    "options": _options,
    "min_vllm": _match(_VERSION),
    "shape_source": _match(_TEXT),
}
_VARIANT: dict[str, Any] = {
    "model": _model,
    "weights_mib": _integer,
    "most_gpus": _integer,
    "basis": _one_of(BASES),
    "minimum_gb": _integer,
    "capability": _capability,
    "options": _options,
}
