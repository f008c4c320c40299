"""Sampling parameters, one type for chat, batch and bench, and the presets.

Precedence, highest first: the request body, `--extra-body`, the other explicit values, the preset.
What none of them sets is left to the server.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from .errors import UsageError
from .i18n import _
from .json_types import JsonObject

_INT64 = 2**63
_RESERVED = frozenset({"messages", "model", "prompt", "stream", "stream_options"})
_SAME = {"max_tokens": "max_completion_tokens"}  # two names of one parameter
_TEMPLATE = "chat_template_kwargs"


class ParameterRange(NamedTuple):
    """The valid numbers of a parameter: `low` to `high`, without `low` where it must be `above`.

    `whole` allows integers only.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` unless `value` is a number of the range."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            text = _("{name} must be a number.")
            if self.whole:
                text = _("{name} must be an integer.")
            raise UsageError(text.format(name=name))
        if self.low <= value <= self.high and not (self.above and value == self.low):
            return
        if self.above:
            text = _("{name} must be above {low} and at most {high}, not {value}.")
        elif not self.whole:
            text = _("{name} must be between {low} and {high}, not {value}.")
        elif value < self.low:
            text = _("{name} must be at least {low}, not {value}.")
        else:
            text = _("{name} is too large: {value}.")
        raise UsageError(text.format(name=name, low=self.low, high=self.high, value=value))


# vLLM's limits, where it has any.
RANGES: Mapping[str, ParameterRange] = MappingProxyType(
    {
        "temperature": ParameterRange(0, 2),
        "top_p": ParameterRange(0, 1, above=True),
        "top_k": ParameterRange(-1, _INT64 - 1, whole=True),
        "min_p": ParameterRange(0, 1),
        "presence_penalty": ParameterRange(-2, 2),
        "frequency_penalty": ParameterRange(-2, 2),
        "repetition_penalty": ParameterRange(0, 2, above=True),
        "max_tokens": ParameterRange(1, _INT64 - 1, whole=True),
        "seed": ParameterRange(-_INT64, _INT64 - 1, whole=True),
    }
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; None means "not set". Raises `UsageError` for values out of range.

    `max_tokens` counts generated tokens, thinking included. `thinking` is the hard switch of
    Qwen3's chat template (``chat_template_kwargs.enable_thinking``). `extra` are further top-level
    keys of the request body. `preset` names values that the explicit ones override; they depend on
    whether the request thinks, so `fill` looks them up.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    thinking: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if value is not None:
                allowed.check(name, value)
        if self.stop is not None and not all(isinstance(s, str) and s for s in self.stop):
            raise UsageError(_("stop must be non-empty strings."))
        reserved = sorted(_RESERVED & self.extra.keys())
        if reserved:
            raise UsageError(
                _("The extra body can't set {keys}, which the command sets itself.").format(
                    keys=", ".join(reserved)
                )
            )
        if self.preset is not None and self.preset not in PRESETS:
            raise UsageError(unknown_preset(self.preset))

    def merged_over(self, base: "Sampling") -> "Sampling":
        """Return these values, and those of `base` where this sets none; `extra` merges by key."""
        changes: JsonObject = {
            f.name: getattr(base, f.name)
            for f in dataclasses.fields(self)
            if f.name != "extra" and getattr(self, f.name) is None
        }
        return dataclasses.replace(self, extra={**base.extra, **self.extra}, **changes)

    def effective(self, *, thinks: bool | None = None) -> "Sampling":
        """Return the explicit values over the preset's, without a preset.

        `thinks` is the thinking switch of the request itself, None where it has none.
        """
        if self.preset is None:
            return self
        preset = PRESETS[self.preset]
        for switch in (thinks, self._extra_thinking(), self.thinking, preset.thinking):
            if switch is not None:
                thinks = switch
                break
        if thinks is not preset.thinking:
            preset = _OTHER_MODE[self.preset]
        return dataclasses.replace(self, preset=None).merged_over(preset)

    def fill(self, body: Mapping[str, Any]) -> JsonObject:
        """Return a new request body: `body`, and these values for what it does not set itself.

        A body without ``messages`` (completions endpoint) has no chat template and so gets no
        thinking switch.
        """
        own = body.get(_TEMPLATE)
        thinks = own.get("enable_thinking") if isinstance(own, Mapping) else None
        values = self.effective(thinks=thinks if isinstance(thinks, bool) else None)
        parameters: JsonObject = {
            name: getattr(values, name)
            for name in RANGES
            if getattr(values, name) is not None and _SAME.get(name) not in body
        }
        if values.stop is not None:
            parameters["stop"] = list(values.stop)
        template: JsonObject = (
            {} if values.thinking is None else {"enable_thinking": values.thinking}
        )
        extra = dict(values.extra)
        if isinstance(extra.get(_TEMPLATE), Mapping):
            template |= extra.pop(_TEMPLATE)
        filled = {**parameters, **extra, **body}
        if template and "messages" in body:
            if own is None:
                filled[_TEMPLATE] = template
            elif isinstance(own, Mapping):
                filled[_TEMPLATE] = {**template, **own}
        return filled

    def _extra_thinking(self) -> bool | None:
        template = self.extra.get(_TEMPLATE)
        switch = template.get("enable_thinking") if isinstance(template, Mapping) else None
        return switch if isinstance(switch, bool) else None


def unknown_preset(name: str) -> str:
    """Return the error message for an unknown preset, with the list of presets."""
    return _("There is no preset {name!r}; presets are {names}.").format(
        name=name, names=", ".join(PRESETS)
    )


# Qwen3's model card. It also recommends max_tokens (32,768 and 8,192/16,384); vLLM refuses a
# request whose max_tokens exceeds the rest of the context, so the presets leave it to the server,
# whose default is the rest of the context.
_THINKING = Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.0, thinking=True)
_NONTHINKING = Sampling(temperature=0.7, top_p=0.8, top_k=20, min_p=0.0, thinking=False)

PRESETS: Mapping[str, Sampling] = MappingProxyType(
    {
        "qwen3-thinking": _THINKING,
        "qwen3-nonthinking": _NONTHINKING,
        # The three of the user guide; their limits suit an answer without thinking.
        "fast": Sampling(max_tokens=50, temperature=0.3, top_p=0.8, thinking=False),
        "creative": Sampling(max_tokens=500, temperature=0.9, top_p=0.95, thinking=False),
        "code": Sampling(max_tokens=200, temperature=0.1, top_p=0.5, thinking=False),
    }
)

# The presets for requests in the other thinking mode. Qwen3 that thinks near-greedily repeats
# itself endlessly, so `fast` and `code` use the card's values; a limit meant for the answer would
# cut the thinking off, so there is none.
_OTHER_MODE: Mapping[str, Sampling] = MappingProxyType(
    {
        "qwen3-thinking": _NONTHINKING,
        "qwen3-nonthinking": _THINKING,
        "fast": _THINKING,
        "creative": Sampling(temperature=0.9, top_p=0.95, thinking=True),
        "code": _THINKING,
    }
)
