"""The tokens of a request, read from vLLM's answer as it passes.

Text of the model can't be mistaken for them: in JSON its quotation marks are escaped, and what is
read is the object's own ``usage``.
"""

from typing import Any

import orjson

from .accounts import Usage

_USAGE = b'"usage"'
_MAX_PENDING = 1 << 20  # bytes of one event in pieces; a larger one is not read
_NO_CHOICES = b'"choices":[]'


class UsageReader:
    """Reads the usage of one response; feed it the body's pieces in order."""

    def __init__(self, stream: bool, hides_usage: bool) -> None:
        """`stream`: server-sent events; else one JSON object. `hides_usage`: leave out the usage
        chunk, for which the client did not ask."""
        self._stream = stream
        self._hides_usage = hides_usage
        self._pieces: list[bytes] = []
        self._chunks = 0
        self._is_whole = False
        self._prompt: int | None = None
        self._completion: int | None = None

    def feed(self, piece: bytes, *, last: bool) -> bytes:
        """Read a piece and return what the client gets of it."""
        self._is_whole = last
        if not self._stream:
            self._pieces.append(piece)
            if last:
                self._read(b"".join(self._pieces))
                self._pieces.clear()
            return piece
        self._chunks += 1
        if _USAGE not in piece:
            return piece
        events = piece.split(b"\n\n")
        kept = [event for event in events if not self._is_usage_chunk(event)]
        return piece if len(kept) == len(events) else b"\n\n".join(kept)

    def usage(self, prompt_guess: int) -> Usage:
        """Return the tokens. Of a stream that was cut off, they are a guess: `prompt_guess`, and
        a token for each chunk."""
        if not self._stream and self._prompt is None:
            return Usage(0, 0)  # such as a list of tokens
        prompt = prompt_guess if self._prompt is None else self._prompt
        completion = self._completion
        if completion is None or not self._is_whole:
            completion = max(completion or 0, self._chunks - 1)
        return Usage(prompt, completion)

    def _is_usage_chunk(self, event: bytes) -> bool:
        """Read an event; return whether it is to be left out."""
        if _USAGE not in event or len(event) > _MAX_PENDING:
            return False
        _name, _colon, data = event.partition(b"data: ")
        self._read(data)
        return self._hides_usage and _NO_CHOICES in data.replace(b" ", b"")

    def _read(self, data: bytes) -> None:
        try:
            values = orjson.loads(data)
        except ValueError:
            return
        for holder in (values, _member(values, "message"), _member(values, "response")):
            usage = _member(holder, "usage")
            if usage is not None:
                self._take(usage)

    def _take(self, usage: dict[str, Any]) -> None:
        """Take the counts of OpenAI's, its Responses' or Anthropic's form."""
        prompt = _count(usage, "prompt_tokens", "input_tokens")
        completion = _count(usage, "completion_tokens", "output_tokens")
        if prompt is not None:
            self._prompt = max(prompt, self._prompt or 0)
        if completion is None and prompt is not None and "total_tokens" in usage:
            completion = max(0, (_count(usage, "total_tokens") or 0) - prompt)  # embeddings
        if completion is not None:
            self._completion = completion


def _member(values: Any, name: str) -> dict[str, Any] | None:
    member = values.get(name) if isinstance(values, dict) else None
    return member if isinstance(member, dict) else None


def _count(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if type(value) is int and value >= 0:
            return value
    return None
