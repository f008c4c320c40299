"""Answers of the access layer's own, in the shape of OpenAI's errors, or of Anthropic's."""

import json
from dataclasses import dataclass

from .accounts import Refusal

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP error response; `code`, `message` and `param`, the field at fault, stand in its JSON
    body. `reason` names a limit, for the counters."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    param: str | None = None
    reason: str | None = None

    def body(self, path: str = "") -> bytes:
        """Return the JSON body of an answer to a request for `path`."""
        if is_anthropic(path):
            return anthropic_error(self.status, self.message, self.code, self.param)
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


def is_anthropic(path: str) -> bool:
    """Return whether clients of a path expect Anthropic's errors."""
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def anthropic_error(status: int, message: str, code: object, param: object) -> bytes:
    """Return the body of an error in Anthropic's form; `code` and `param` stand in it besides, as
    in OpenAI's."""
    kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": message, "param": param, "code": code}
    return json.dumps({"type": "error", "error": error}).encode()


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
    "No API key was sent: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
    ((b"www-authenticate", b'Bearer realm="qchat"'),),
)
WRONG_KEY = Denial(
    401,
    "invalid_api_key",
    "The API key is wrong.",
    ((b"www-authenticate", b'Bearer realm="qchat", error="invalid_token"'),),
)
TWO_KEYS = Denial(
    401,
    "invalid_api_key",
    "'Authorization' and 'x-api-key' hold different API keys: send one of them.",
    ((b"www-authenticate", b'Bearer realm="qchat", error="invalid_token"'),),
)
TOO_SLOW = Denial(
    408, "request_timeout", "The request's body did not arrive in time.", (CLOSE,), reason="slow"
)
DRAINING = Denial(
    503,
    "server_draining",
    "The server is stopping and takes no new requests.",
    ((b"retry-after", b"5"), CLOSE),
)
BATCHES_OFF = Denial(
    404,
    "not_found",
    "The Batch API is off here; whoever runs the server can switch it on with --batches.",
)
BATCHES_UNAVAILABLE = Denial(
    503,
    "batches_unavailable",
    "Files and batches are not available at this moment; try again.",
    ((b"retry-after", b"2"),),
)


def too_large(max_bytes: int) -> Denial:
    """Return the answer to a body of more than `max_bytes`."""
    text = f"The request body is larger than {max_bytes} bytes."
    return Denial(413, "request_too_large", text, (CLOSE,), reason="max_body_bytes")


def too_many_sequences(n: int, prompts: int, max_n: int, max_sequences: int) -> Denial:
    """Return the answer to a request for more completions than the limits allow."""
    if n > max_n:
        text = f"'n' is {n}; this server generates at most {max_n} completions of a prompt."
    else:
        text = (
            f"The request asks for {n * prompts} completions ({prompts} prompts, n = {n}); this "
            f"server generates at most {max_sequences} in one request."
        )
    param = "n" if n > max_n else "prompt"
    return Denial(400, "limit_exceeded", text, param=param, reason="max_n")


def over_limit(refusal: Refusal) -> Denial:
    """Return the answer to a request that has to wait."""
    limit = {
        "max_running": f"{refusal.value} requests at the same time",
        "requests_per_minute": f"{refusal.value} requests a minute",
        "tokens_per_minute": f"{refusal.value} tokens a minute",
    }[refusal.limit]
    whose = "of all clients together" if refusal.total else "of this client"
    seconds = refusal.retry_after
    text = f"Over the limit {whose}, {limit}: try again in {seconds} s."
    headers = ((b"retry-after", str(seconds).encode()),)
    return Denial(429, "rate_limit_exceeded", text, headers, reason=refusal.limit)
