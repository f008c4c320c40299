"""The client of the interactive commands on the `openai` SDK, and failures from its exceptions.

Importing this module imports the SDK (about a second): only commands that send requests do, and
only inside the command function.
"""

import contextlib
import re
import socket
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, Final

import openai

from .. import __version__
from ..errors import Code, Exit, Failure, QchatError, from_status
from ..i18n import _
from ..json_types import JsonObject
from .endpoint import Endpoint, retry_after
from .error_messages import explain_failure, server_message

CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 600.0  # between two chunks; the prefill of a long prompt takes minutes


# The SDK adds headers of its own from OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_CUSTOM_HEADERS and
# the like for whatever server it talks to. Nothing leaves but these and the endpoint's own.
_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)


def set_request_headers(request: Any, endpoint: Endpoint) -> None:
    """Leave a request of the SDK's no headers but those that are meant for the endpoint."""
    for name in list(request.headers):
        if name.lower() not in _HEADERS:
            del request.headers[name]
    request.headers["user-agent"] = f"qchat/{__version__}"
    request.headers.update(endpoint.headers())


class ServerError(QchatError):
    """A failed request. `failure` has the code; the text for the user is `what` happened and the
    `advice`, which may be empty."""

    def __init__(self, failure: Failure, endpoint: Endpoint) -> None:
        super().__init__(explain_failure(failure, endpoint))
        self.failure = failure
        self.what, self.advice = server_message(failure, endpoint)
        if failure.code in (Code.INVALID_REQUEST, Code.CONTEXT_LENGTH, Code.UNSUPPORTED):
            self.exit_code = Exit.USAGE
        else:
            self.exit_code = Exit.ENGINE


class _Stream(openai.Stream[object]):
    """The SDK parses every event as JSON; blank ones are keep-alives of some proxies."""

    def _iter_events(self) -> Iterator[Any]:
        return (event for event in super()._iter_events() if event.data.strip())


class Client:
    """A client of one server. Use it in a ``with``.

    It never retries, never follows a redirect, and uses the endpoint's proxy and no other.
    Only `break_off` may be called from another thread.
    """

    def __init__(self, endpoint: Endpoint, silence: float = SILENCE_SECONDS) -> None:
        """`silence`: seconds without a byte after which a request has failed."""
        self.endpoint = endpoint
        self._broken_off = False
        self._socket: socket.socket | None = None
        self._http = openai.DefaultHttpxClient(
            trust_env=False,
            proxy=endpoint.proxy,
            follow_redirects=False,
            timeout=openai.Timeout(silence, connect=min(silence, CONNECT_SECONDS)),
            event_hooks={"request": [self._only_our_headers, self._follow_connection]},
        )
        self._sdk = openai.OpenAI(
            base_url=endpoint.base_url,
            api_key="none",  # not sent: the hook above sets what is
            max_retries=0,
            http_client=self._http,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def _only_our_headers(self, request: Any) -> None:
        set_request_headers(request, self.endpoint)

    def break_off(self) -> None:
        """Abort the request in flight, even one that waits for its first byte.

        The waiting call raises `ServerError`, and so does every later one.
        """
        self._broken_off = True
        waiting = self._socket
        if waiting is not None:
            with contextlib.suppress(OSError):
                # close() would not wake the other thread.
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)

    def _follow_connection(self, request: Any) -> None:
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: Any) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
        # After a failure the stream may have no reader: an exception would reach nobody.
        if self._broken_off and "close" not in event and not event.endswith(".failed"):
            raise BrokenPipeError

    def models(self) -> list[JsonObject]:
        """The `data` of ``GET /models``: each has an ``id``. Raises `ServerError`."""
        try:
            response = self._sdk.get("/models", cast_to=object)
        except Exception as e:
            raise self._error(e) from e
        data = response.get("data") if isinstance(response, dict) else None
        if not isinstance(data, list) or not all(
            isinstance(m, dict) and isinstance(m.get("id"), str) for m in data
        ):
            message = _("The response is not a list of models.")
            raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
        return data

    def status(self, path: str) -> int:
        """The status of a GET outside the API: `path` follows the base URL without its ``/v1``.

        Raises `ServerError` if there is no response.
        """
        url = self.endpoint.base_url.removesuffix("/v1") + path
        try:
            self._sdk.get(url, cast_to=object)
        except openai.APIStatusError as e:
            return e.status_code
        except Exception as e:
            raise self._error(e) from e
        return 200

    def tokenize(self, body: JsonObject) -> None:
        """Have vLLM tokenize a chat. Raises `ServerError` where it can't be.

        The tokens themselves are of no interest.
        """
        url = self.endpoint.base_url.removesuffix("/v1") + "/tokenize"
        try:
            self._sdk.post(url, body=body, cast_to=object)
        except Exception as e:
            raise self._error(e) from e

    def complete(self, body: JsonObject) -> JsonObject:
        """A chat completion that is not streamed, decoded and unchecked. Raises `ServerError`."""
        try:
            response = self._sdk.post("/chat/completions", body=body, cast_to=object)
        except Exception as e:
            raise self._error(e) from e
        if not isinstance(response, dict):
            message = _("The response is not a JSON object.")
            raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
        return response

    def stream(self, body: JsonObject) -> Generator[JsonObject, None, None]:
        """The chunks of a chat completion, decoded and unchecked. Raises `ServerError`."""
        try:
            with self._sdk.post(
                "/chat/completions",
                body={**body, "stream": True},
                cast_to=object,
                stream=True,
                stream_cls=_Stream,
            ) as stream:
                for chunk in stream:
                    if not isinstance(chunk, dict):
                        message = _("A chunk is not a JSON object.")
                        raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
                    yield chunk
        except (QchatError, GeneratorExit):
            raise
        except Exception as e:
            raise self._error(e) from e

    def request(
        self,
        method: str,
        path: str,
        *,
        body: JsonObject | None = None,
        query: dict[str, Any] | None = None,
    ) -> object:
        """The decoded answer of any other request. Raises `ServerError`."""
        try:
            if method == "get":
                return self._sdk.get(path, cast_to=object, options={"params": query or {}})
            return self._sdk.post(path, body=body, cast_to=object)
        except Exception as e:
            raise self._error(e) from e

    def upload(self, content: BinaryIO, name: str) -> JsonObject:
        """Upload a file of requests and return its object. Raises `ServerError`."""
        try:
            stored: object = self._sdk.files.create(file=(name, content), purpose="batch")
        except Exception as e:
            raise self._error(e) from e
        if not isinstance(stored, openai.BaseModel):
            message = _("The response is not a JSON object.")
            raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
        return stored.to_dict()

    def download(self, path: str) -> Iterator[bytes]:
        """The pieces of an answer that is a file. Raises `ServerError`."""
        try:
            with self._http.stream("GET", self.endpoint.url(path)) as response:
                if response.status_code != 200:
                    response.read()
                    raise ServerError(_download_failure(response), self.endpoint)
                yield from response.iter_bytes()
        except (QchatError, GeneratorExit):
            raise
        except Exception as e:
            raise self._error(e) from e

    def _error(self, error: Exception) -> Exception:
        if isinstance(error, BrokenPipeError):  # `_trace`'s, while a body was read
            failure: Failure | None = Failure(Code.DISCONNECTED, _("the request was aborted"))
        else:
            failure = failure_of(error)
        return error if failure is None else ServerError(failure, self.endpoint)


def _download_failure(response: Any) -> Failure:
    try:
        body = response.json()
    except ValueError:
        body = None
    return from_status(response.status_code, body, retry_after(response.headers.get("retry-after")))


def failure_of(error: Exception) -> Failure | None:
    """The failure of an exception of the SDK; None if it is not that of a request."""
    if isinstance(error, openai.APIStatusError):
        try:
            body = error.response.json()
        except (ValueError, RuntimeError):
            body = None
        return from_status(
            error.status_code, body, retry_after(error.response.headers.get("retry-after"))
        )
    if isinstance(error, openai.APITimeoutError | openai.APIConnectionError):
        cause = error.__cause__
        kind = type(cause).__name__
        if kind in ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"):
            return Failure(Code.UNREACHABLE, _(re.sub(r"\[Errno -?\d+\] ", "", str(cause))))
        if isinstance(error, openai.APITimeoutError):
            return Failure(Code.NO_PROGRESS, str(cause or error))
        return Failure(Code.DISCONNECTED, str(cause or error))
    if isinstance(error, openai.APIError):  # an error object in the middle of a stream
        return _failure_in_stream(error)
    if isinstance(error, BrokenPipeError):  # `break_off` came while a body was read
        return Failure(Code.DISCONNECTED, _("the request was aborted"))
    if isinstance(error, UnicodeDecodeError) and error.reason == "unexpected end of data":
        return Failure(Code.DISCONNECTED, _("the stream ended within a character"))
    if isinstance(error, ValueError):  # JSON or text that can't be decoded
        return Failure(Code.BAD_RESPONSE, str(error))
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        return Failure(Code.DISCONNECTED, str(error))
    return None


def _failure_in_stream(error: openai.APIError) -> Failure:
    body = error.body if isinstance(error.body, dict) else {}
    status = body.get("code")
    if isinstance(status, int) and 400 <= status < 600:
        return from_status(status, {"error": body})
    return Failure(Code.SERVER_ERROR, error.message)
