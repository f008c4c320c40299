"""Answers of the access layer's own, in the shape of OpenAI's errors."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP error response; `code` and `message` stand in its JSON body."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """Return the JSON body."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


NOT_FOUND = Denial(404, "not_found", "There is no such route.")
MISDIRECTED = Denial(
    421,
    "host_not_allowed",
    "This server does not accept this host name; start it with --allowed-host to add one.",
)
FORWARDED = Denial(
    403, "key_required", "A server without a key refuses requests from a proxy; give it a key."
)
NO_KEY = Denial(
    401,
    "invalid_api_key",
    "No API key was sent: send it as 'Authorization: Bearer KEY'.",
    ((b"www-authenticate", b'Bearer realm="qchat"'),),
)
WRONG_KEY = Denial(
    401,
    "invalid_api_key",
    "The API key is wrong.",
    ((b"www-authenticate", b'Bearer realm="qchat", error="invalid_token"'),),
)


def too_large(max_bytes: int) -> Denial:
    """Return the answer to a body of more than `max_bytes`."""
    return Denial(
        413,
        "request_too_large",
        f"The request body is larger than {max_bytes} bytes.",
        ((b"connection", b"close"),),
    )


def draining(retry_after: int) -> Denial:
    """Return the answer to a new request while the server ends the running ones; it may be tried
    again in `retry_after` seconds."""
    return Denial(
        503,
        "server_stopping",
        "The server is about to stop and takes no new requests; retry later.",
        ((b"retry-after", str(retry_after).encode()), (b"connection", b"close")),
    )
