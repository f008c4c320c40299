"""A request's headers, read in one pass: what the layer looks at, and what vLLM gets."""

from collections.abc import Iterable

from ...api.priority import HEADER, LOW

Header = tuple[bytes, bytes]

FORWARDED_HEADERS = frozenset(
    {
        *(b"forwarded", b"via", b"x-real-ip"),
        *(b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"),
    }
)
"""Headers that proxies add. Some proxies add none: behind those only a key protects."""
_CREDENTIALS = frozenset({b"authorization", b"x-api-key"})
_PRIORITY = HEADER.lower().encode()
_SCHEDULING = frozenset({b"x-vllm-priority", b"x-data-parallel-rank"})
_READ = FORWARDED_HEADERS | {
    _PRIORITY,
    *_SCHEDULING,
    *(b"host", b"origin", b"content-length", b"transfer-encoding"),
    b"access-control-request-method",
}
_ABOUT_BODY = frozenset({b"content-length", b"transfer-encoding"})
_ABOUT_FORM = frozenset({b"accept-encoding", b"accept"})


class Head:
    """The headers of one request.

    `headers` are those for vLLM: without credentials, which it does not need and so can't leak.
    """

    __slots__ = ("_read", "headers")

    def __init__(self, headers: Iterable[Header]) -> None:
        """Read `headers` as ASGI has them."""
        self.headers: list[Header] = []
        self._read: dict[bytes, list[bytes]] = {}
        for header in headers:
            name = header[0].lower()
            if name in _CREDENTIALS:
                self._read.setdefault(name, []).append(header[1])
                continue
            if name in _READ:
                self._read.setdefault(name, []).append(header[1])
            self.headers.append(header)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a header, one of those that this class reads."""
        return self._read.get(name, [])

    def texts(self, name: bytes) -> list[str]:
        """Return the values of a header as text."""
        return [value.decode("latin-1") for value in self._read.get(name, ())]

    def is_forwarded(self) -> bool:
        """Return whether a proxy has added a header."""
        return not FORWARDED_HEADERS.isdisjoint(self._read)

    def is_low_priority(self) -> bool:
        """Return whether the request yields to others, as a batch's do (`qchat.api.priority`)."""
        return [value.strip().lower() for value in self.texts(_PRIORITY)] == [LOW]

    def drop_scheduling(self) -> None:
        """Keep from vLLM the headers that choose the request's place: its priority, which vLLM
        prefers to the body's, and the copy of the model that answers it."""
        if not _SCHEDULING.isdisjoint(self._read):
            self.headers = self._without(_SCHEDULING)

    def with_length(self, length: int) -> list[Header]:
        """Return the headers for vLLM with a body of `length` bytes, which is whole."""
        if self.values(b"content-length") == [b"%d" % length] and (
            not self.values(b"transfer-encoding")
        ):
            return self.headers
        return [*self._without(_ABOUT_BODY), (b"content-length", b"%d" % length)]

    def plain_form(self) -> list[Header]:
        """Return the headers for vLLM that ask for the plain form of an answer."""
        return self._without(_ABOUT_FORM)

    def _without(self, names: frozenset[bytes]) -> list[Header]:
        return [header for header in self.headers if header[0].lower() not in names]
