"""The columns of a row that are parameters of its request, and those that look as if they were."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...i18n import _
from ...json_types import JsonObject
from ...request_schema import (
    CHAT_PARAMETERS,
    COMPLETION_PARAMETERS,
    EMBEDDING_PARAMETERS,
    QUESTION_PARAMETERS,
    RERANK_PARAMETERS,
    RESPONSE_PARAMETERS,
    SCORE_PARAMETERS,
)
from ..request import CHAT, COMPLETIONS
from .endpoints import EMBEDDINGS, RERANK, RESPONSES, SCORE, SHAPES

_OTHER_NAMES: Mapping[str, str] = {
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "n_predict": "max_tokens",
    "guided_json": "structured_outputs",
    "guided_regex": "structured_outputs",
    "guided_choice": "structured_outputs",
    "guided_grammar": "structured_outputs",
    "json_schema": "response_format",
    "stop_sequences": "stop",
    "repeat_penalty": "repetition_penalty",
    "enable_thinking": "chat_template_kwargs",
    "thinking_budget": "thinking_token_budget",
    "functions": "tools",
    "logits_processors": "",
    "best_of": "",
    "extra_body": "",
    "sampling_params": "",
}
"""Names of other programs, older versions and the Python clients, and today's ("" for none)."""

_REQUEST = frozenset({"messages", "prompt", "stream", "stream_options"}) | {
    key for shape in SHAPES.values() for keys in shape.needs for key in keys
}
_SCHEMAS: Mapping[str, frozenset[str]] = {
    CHAT: CHAT_PARAMETERS,
    COMPLETIONS: COMPLETION_PARAMETERS,
    EMBEDDINGS: EMBEDDING_PARAMETERS,
    SCORE: SCORE_PARAMETERS,
    RERANK: RERANK_PARAMETERS,
    RESPONSES: RESPONSE_PARAMETERS,
}
_CLOSE = 0.85  # similarity from which on a name may be a typing error
_SHORTEST = 5  # characters: any short word is similar to some parameter
_SHOWN = 60  # characters of a model's name in a row, which may be anything


@dataclass(slots=True)
class ParameterColumns:
    """The columns of the rows read so far: those `taken` as parameters, and those that are none
    but look so, with the parameter that may be meant ("" if none may). `other_model` is one that a
    row names and that is not asked ("" if none is); `lacks_model` says whether a row names none,
    nor the command line."""

    taken: set[str] = field(default_factory=set)
    near_misses: dict[str, str] = field(default_factory=dict)
    other_model: str = ""
    lacks_model: bool = False
    _known: set[str] = field(default_factory=set)

    def parameters_of(self, row: JsonObject, endpoint: str) -> JsonObject:
        """Return the parameters in the columns of a row; a null sets none."""
        names = _schema(endpoint) & row.keys()
        for shape in SHAPES[endpoint].needs:  # such as `prompt` of responses: the request itself
            names -= frozenset(shape)
        self.taken |= names
        self.look_at(row, endpoint)
        return {name: row[name] for name in names if row[name] is not None}

    def look_at(self, keys: Iterable[str], endpoint: str) -> None:
        """Look for names that are no parameters but were meant as such."""
        schema = _schema(endpoint)
        for name in keys:
            if name in self._known or name in schema or name in _REQUEST:
                continue
            self._known.add(name)
            if (meant := near_miss(name, schema)) is not None:
                self.near_misses[name] = meant

    def see_model(self, named: Any, asked: str) -> None:
        """Look whether a row names another model than the one that is `asked`."""
        if named is not None and named != asked and not self.other_model:
            self.other_model = str(named)[:_SHOWN]

    def as_json(self) -> dict[str, Any]:
        """Return what was seen."""
        return {
            "taken": sorted(self.taken),
            "near_misses": self.near_misses,
            "other_model": self.other_model,
            "lacks_model": self.lacks_model,
        }

    def restore(self, seen: Mapping[str, Any]) -> None:
        """Take in what an earlier pass has seen, as `as_json` returned it."""
        self.taken.update(seen.get("taken", ()))
        self.near_misses.update(seen.get("near_misses", {}))
        self.other_model = self.other_model or seen.get("other_model", "")
        self.lacks_model |= seen.get("lacks_model", False)

    def messages(self, model: str | None) -> list[str]:
        """Return what a person must know of them; with `model`, all rows are asked of that one."""
        lines: list[str] = []
        names = self.taken - {"model"} if model is not None else self.taken
        if names:
            text = _(
                "Columns taken as parameters of the requests: {names} (--no-row-params: as data)."
            )
            lines.append(text.format(names=", ".join(sorted(names))))
        if self.other_model and model is not None:
            text = _("Rows name another model, such as '{other}'; all are asked of {model}.")
            lines.append(text.format(other=self.other_model, model=model))
        if self.near_misses:
            text = _("Not parameters of vLLM's, and not used as such: {names}.")
            lines.append(text.format(names=", ".join(map(self._describe, self.near_misses))))
        return lines

    def _describe(self, name: str) -> str:
        meant = self.near_misses[name]
        return _("{name} (did you mean {meant}?)").format(name=name, meant=meant) if meant else name


def near_miss(name: str, schema: Iterable[str]) -> str | None:
    """Return the parameter that a name may mean, '' if it is one elsewhere; None for plain data."""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    if len(name) < _SHORTEST:
        return None
    candidates = [parameter for parameter in schema if len(parameter) >= _SHORTEST]
    matches = difflib.get_close_matches(name.lower(), candidates, 1, _CLOSE)
    return matches[0] if matches else None


def _schema(endpoint: str) -> frozenset[str]:
    return _SCHEMAS.get(endpoint, QUESTION_PARAMETERS)
