"""How an answer is drawn: one value for chat, batch and bench, and the presets.

Precedence, highest first: what a request body says itself, `--extra-body`, the other explicit
values, the preset. What nobody says is left to the server.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .errors import UsageError
from .i18n import _

Json = dict[str, Any]

_INT64 = 2**63
_RESERVED = frozenset({"messages", "model", "prompt", "stream", "stream_options"})
PARAMETERS = frozenset(
    (
        *("model", "max_tokens", "max_completion_tokens", "min_tokens", "n", "seed", "priority"),
        *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty"),
        *("repetition_penalty", "length_penalty", "repetition_detection", "logit_bias"),
        *("stop", "stop_token_ids", "bad_words", "ignore_eos", "skip_special_tokens"),
        *("logprobs", "top_logprobs", "response_format", "structured_outputs"),
        *("tools", "tool_choice", "parallel_tool_calls"),
        *("chat_template_kwargs", "reasoning_effort", "thinking_token_budget"),
    )
)
"""Keys of a messages or prompt line that are parameters of the request; others are columns."""

_NUMBERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "seed",
)
_SAME = {"max_tokens": "max_completion_tokens"}  # either name says it
_TEMPLATE = "chat_template_kwargs"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; None means "not said". Raises `UsageError` for values out of range.

    `max_tokens` counts generated tokens, the thinking included. `thinking` is the hard switch of
    Qwen3's chat template (``chat_template_kwargs.enable_thinking``). `extra` are further top-level
    keys of the request body. `preset` names values to use below the explicit ones; which of the
    preset's values apply depends on whether the request thinks, so they are looked up in `fill`.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    thinking: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None

    def __post_init__(self) -> None:
        _integer("max_tokens", self.max_tokens, 1, _INT64 - 1)
        _integer("top_k", self.top_k, -1, _INT64 - 1)
        _integer("seed", self.seed, -_INT64, _INT64 - 1)
        _real("temperature", self.temperature, 0, 2)
        _real("min_p", self.min_p, 0, 1)
        _real("presence_penalty", self.presence_penalty, -2, 2)
        _real("top_p", self.top_p, 0, 1)
        if self.top_p == 0:
            raise UsageError(_("top_p must be above 0 and at most 1, not 0."))
        if self.stop is not None and not all(isinstance(s, str) and s for s in self.stop):
            raise UsageError(_("stop must be text that is not empty."))
        reserved = sorted(_RESERVED & self.extra.keys())
        if reserved:
            raise UsageError(
                _("The extra body can't set {keys}; the command sets that itself.").format(
                    keys=", ".join(reserved)
                )
            )
        if self.preset is not None and self.preset not in PRESETS:
            raise UsageError(unknown_preset(self.preset))

    def merged_over(self, base: "Sampling") -> "Sampling":
        """This, and `base` where this says nothing. Keys of `extra` are merged one by one."""
        changes: Json = {
            f.name: getattr(base, f.name)
            for f in dataclasses.fields(self)
            if f.name != "extra" and getattr(self, f.name) is None
        }
        return dataclasses.replace(self, extra={**base.extra, **self.extra}, **changes)

    def effective(self, *, thinks: bool | None = None) -> "Sampling":
        """The explicit values over the preset's; no preset is left in it.

        `thinks` is what a request itself says about thinking; None leaves it to this value.
        """
        if self.preset is None:
            return self
        preset = PRESETS[self.preset]
        for said in (thinks, self._extra_thinking(), self.thinking, preset.thinking):
            if said is not None:
                thinks = said
                break
        if thinks is not preset.thinking:
            preset = _OTHER_MODE[self.preset]
        return dataclasses.replace(self, preset=None).merged_over(preset)

    def fill(self, body: Mapping[str, Any]) -> Json:
        """A new request body: `body`, and from here what it does not say itself.

        A body without ``messages`` (the completions endpoint) has no chat template and gets no
        thinking switch.
        """
        own = body.get(_TEMPLATE)
        thinks = own.get("enable_thinking") if isinstance(own, Mapping) else None
        values = self.effective(thinks=thinks if isinstance(thinks, bool) else None)
        said: Json = {
            name: getattr(values, name)
            for name in _NUMBERS
            if getattr(values, name) is not None and _SAME.get(name) not in body
        }
        if values.stop is not None:
            said["stop"] = list(values.stop)
        template: Json = {} if values.thinking is None else {"enable_thinking": values.thinking}
        extra = dict(values.extra)
        if isinstance(extra.get(_TEMPLATE), Mapping):
            template |= extra.pop(_TEMPLATE)
        filled = {**said, **extra, **body}
        if template and "messages" in body:
            if own is None:
                filled[_TEMPLATE] = template
            elif isinstance(own, Mapping):
                filled[_TEMPLATE] = {**template, **own}
        return filled

    def _extra_thinking(self) -> bool | None:
        template = self.extra.get(_TEMPLATE)
        said = template.get("enable_thinking") if isinstance(template, Mapping) else None
        return said if isinstance(said, bool) else None


def unknown_preset(name: str) -> str:
    """A sentence for a preset that does not exist, with the nearest one and the list."""
    return _("There is no preset {name!r}; presets are {names}.").format(
        name=name, names=", ".join(PRESETS)
    )


def _integer(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(_("{name} must be a whole number.").format(name=name))
    if value < low:
        raise UsageError(
            _("{name} must be at least {low}, not {value}.").format(name=name, low=low, value=value)
        )
    if value > high:
        raise UsageError(_("{name} is too large: {value}.").format(name=name, value=value))


def _real(name: str, value: Any, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(_("{name} must be a number.").format(name=name))
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(
            _("{name} must be between {low} and {high}, not {value}.").format(
                name=name, low=low, high=high, value=value
            )
        )


# Qwen3's model card. It also names max_tokens (32,768 and 8,192/16,384); vLLM refuses a request
# whose max_tokens exceeds what is left of the context, so the presets leave it to the server,
# which gives the rest of the context.
_THINKING = Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.0, thinking=True)
_NONTHINKING = Sampling(temperature=0.7, top_p=0.8, top_k=20, min_p=0.0, thinking=False)

PRESETS: Mapping[str, Sampling] = MappingProxyType(
    {
        "qwen3-thinking": _THINKING,
        "qwen3-nonthinking": _NONTHINKING,
        # The user guide's three; their limits are for an answer alone, so they don't think.
        "fast": Sampling(max_tokens=50, temperature=0.3, top_p=0.8, thinking=False),
        "creative": Sampling(max_tokens=500, temperature=0.9, top_p=0.95, thinking=False),
        "code": Sampling(max_tokens=200, temperature=0.1, top_p=0.5, thinking=False),
    }
)

# What a preset becomes where a request is in the other mode. Qwen3 that thinks near greedy
# repeats itself without end, so `fast` and `code` take the card's values; a limit meant for the
# answer would cut the thought, so none is set.
_OTHER_MODE: Mapping[str, Sampling] = MappingProxyType(
    {
        "qwen3-thinking": _NONTHINKING,
        "qwen3-nonthinking": _THINKING,
        "fast": _THINKING,
        "creative": Sampling(temperature=0.9, top_p=0.95, thinking=True),
        "code": _THINKING,
    }
)
