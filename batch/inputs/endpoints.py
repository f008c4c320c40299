"""The endpoints that rows are sent to, by the `url` of a row or `--endpoint`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...sampling import Sampling
from ..request import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    SCORE,
    SYSTEMONE,
)
from .lines import BadLineError


@dataclass(frozen=True, slots=True)
class EndpointShape:
    """What a request body needs: one of each tuple of keys. `text` is the key that a text fills;
    None where a request is more than a text."""

    needs: tuple[tuple[str, ...], ...]
    text: str | None = None


SHAPES: Mapping[str, EndpointShape] = {
    CHAT: EndpointShape((("messages",),)),
    COMPLETIONS: EndpointShape((("prompt", "prompt_embeds"),), "prompt"),
    EMBEDDINGS: EndpointShape((("input", "messages"),), "input"),
    SCORE: EndpointShape(
        (("text_1", "queries", "data_1"), ("text_2", "documents", "items", "data_2"))
    ),
    RERANK: EndpointShape((("query",), ("documents",))),
    RESPONSES: EndpointShape((("input",),), "input"),
    DECISIONS: EndpointShape((("questions",),)),
    SYSTEMONE: EndpointShape((("state",), ("questions",))),
}
"""The endpoints, as vLLM 0.26 to 0.33 serve them."""

NAMES = {"chat": CHAT} | {path.rpartition("/")[2]: path for path in SHAPES if path != CHAT}
"""Short names for `--endpoint`."""


def endpoint_of(url: Any) -> str:
    """Return the endpoint of a row's `url`, as OpenAI or Azure write it. Raises `BadLineError`."""
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:  # "http://[": no address at all
        path = ""
    for endpoint in SHAPES:
        if path == endpoint or path.endswith(endpoint.removeprefix("/v1")):
            return endpoint
    text = _("'url' is {url}; qchat batch answers {names}")
    raise BadLineError(text.format(url=url, names=", ".join(SHAPES)))


def parse_endpoint(name: str | None) -> str | None:
    """Return the endpoint that `--endpoint` names. Raises `UsageError`."""
    if name is None:
        return None
    path = NAMES.get(name, name if name.startswith("/") else f"/v1/{name}")
    if path not in SHAPES:
        text = _("There is no endpoint '{name}'; use one of {names}.")
        raise UsageError(text.format(name=name, names=", ".join(NAMES)))
    return path


def check_body(endpoint: str, body: JsonObject) -> None:
    """Raise `BadLineError` unless a request body has what its endpoint needs."""
    for keys in SHAPES[endpoint].needs:
        if all(body.get(key) is None for key in keys):
            names = _(" or ").join(f"'{key}'" for key in keys)
            text = _("{endpoint} needs {names}")
            raise BadLineError(text.format(endpoint=endpoint, names=names))


def body_of_columns(endpoint: str, row: JsonObject) -> JsonObject:
    """Return a request body of a row's columns: those that the endpoint needs, or a text."""
    shape = SHAPES[endpoint]
    names = [key for keys in shape.needs for key in keys]
    body = {key: row[key] for key in names if row.get(key) is not None}
    if not body and shape.text is not None:
        for key in ("prompt", "text", "input"):
            if isinstance(row.get(key), str | list):
                return {shape.text: row[key]}
    return body


def with_sampling(body: JsonObject, endpoint: str, sampling: Sampling) -> JsonObject:
    """Return the body with the command line's parameters that its endpoint knows."""
    if endpoint in (CHAT, COMPLETIONS):
        return sampling.fill(body)
    if endpoint != RESPONSES:
        return {**sampling.extra, **body}
    values = sampling.fill({})
    parameters: JsonObject = {key: values[key] for key in ("temperature", "top_p") if key in values}
    if "max_tokens" in values:
        parameters["max_output_tokens"] = values["max_tokens"]
    return {**parameters, **sampling.extra, **body}
