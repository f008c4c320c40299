"""Checks of a running server, with the client and the requests of the chat."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...api.endpoint import Endpoint, Secret
from ...errors import Code, Failure
from ...i18n import _, plural
from ...settings import Paths
from ..access import keys
from ..registry import records
from ..registry.records import ServerRecord
from .finding import Finding, Findings, Level, ok, problem, warning
from .settings import check_key_file

if TYPE_CHECKING:
    from ...api.client import Client, ServerError

_PINGS = 3
_SHORT_TOKENS = 16  # of the response that is not streamed
_STREAM_TOKENS = 64
_SECOND_STREAM_TOKENS = 256  # of another one, if the first looks buffered
_STREAM_SECONDS = 5.0  # a longer stream is stopped: a slow model need not finish
_MIN_TOKENS = 10  # for a rate in tokens/s
_MIN_SPAN = 0.02  # seconds, likewise
_FEW_TOKENS = 3  # tokens that may arrive in one chunk
_BURST_GAP = 0.002  # seconds: chunks with smaller gaps arrived together
_BUFFERED_WAIT = 0.1  # seconds before a burst of buffered chunks
_MAX_NAMES = 5  # models listed in a sentence


@dataclass(frozen=True, slots=True)
class Target:
    """A server to check: its endpoint, and its record if qchat started it."""

    endpoint: Endpoint
    record: ServerRecord | None = None

    @property
    def fix(self) -> str:
        """What to do when it fails."""
        if self.record is not None:
            return f"qchat logs {self.record.name} --errors"
        return _("Check the server's log.")


def target_from_record(record: ServerRecord, environ: Mapping[str, str]) -> Target | Finding:
    """A server that qchat started, with one of its keys, or why there is no key."""
    key = None
    if record.key == "variable":
        if keys.from_variable(environ) is None:
            text = _("{name} requires the key of QCHAT_API_KEY, which is not set here.")
            fix = _("Set it to its value when the server was started.")
            return warning("key", text.format(name=record.name), fix)
        key = Secret(environ[keys.VARIABLE].strip())
    elif record.key != "none":
        key_finding = check_key_file(Path(record.key), of_server=True)
        if key_finding.level is not Level.OK:
            if Path(record.key).parent != Paths.find(environ).config / "keys":
                return key_finding
            # The settings section checks these files and reports the problem.
            text = _("{name} was not tested: its key file {file} is not usable.")
            return warning("key", text.format(name=record.name, file=record.key), key_finding.fix)
        key = Secret(keys.one_of(Path(record.key)))
    endpoint = Endpoint(f"{record.url}/v1", key, record.served_name, record.name)
    return Target(endpoint, record)


def check_state(record: ServerRecord) -> Finding | None:
    """Check the state in a server's record; None if it is ready and never crashed."""
    name, log = record.name, f"qchat logs {record.name} --errors"
    if record.state == records.FAILED:
        return problem("state", record.message or _("{n} has failed.").format(n=name), log)
    if record.state == records.RESTARTING:
        return warning("state", record.message, log)
    if record.state != records.READY:
        text = _("{name} is {state}; it was not tested.")
        return ok("state", text.format(name=name, state=record.state))
    if record.restarts:
        text = _("{name} crashed and was restarted: {message}")
        return warning("state", text.format(name=name, message=record.message), log)
    return None


def check_server(target: Target, seconds: float) -> Findings:
    """Check reachability, health, key, models, a response and a streamed one.

    A request fails after `seconds` without a byte, or if it is incomplete after twice as many. The
    checks after a failure are skipped.
    """
    from ...api.client import Client, ServerError

    with Client(target.endpoint, seconds) as client:
        try:
            with _time_limit(client, seconds):
                finding = _health(client, target)
            yield finding
            yield from _key(target, seconds)
            with _time_limit(client, seconds):
                model, finding = _model(client, target)
            yield finding
            if model is None:
                return
            with _time_limit(client, seconds):
                finding = _chat(client, model, target)
            yield finding
            yield _stream(client, model, target, seconds)
        except ServerError as error:
            yield _request_failed(error, target)


@contextlib.contextmanager
def _time_limit(client: "Client", seconds: float) -> Iterator[None]:
    """Abort requests after twice `seconds`, however slowly bytes arrive. Raises `ServerError`."""
    from ...api.client import ServerError

    limit, expired = 2 * seconds, threading.Event()

    def abort() -> None:
        expired.set()
        client.break_off()

    timer = threading.Timer(limit, abort)
    timer.daemon = True
    timer.start()
    try:
        yield
    except ServerError as error:
        if not expired.is_set():
            raise
        text = _("no complete response within {n:g} s").format(n=limit)
        raise ServerError(Failure(Code.NO_PROGRESS, text), client.endpoint) from error
    finally:
        timer.cancel()


def _request_failed(error: "ServerError", target: Target) -> Finding:
    code, record = error.failure.code, target.record
    if record is not None and code is Code.UNAUTHORIZED:
        fix = _("Use a key of {file}.").format(file=record.key)
        if record.key == "variable":
            fix = _("Use the key that was in QCHAT_API_KEY when the server was started.")
    elif record is not None:
        fix = target.fix
    elif code is Code.UNREACHABLE and target.endpoint.is_local:
        port = urlsplit(target.endpoint.base_url).port
        fix = f"qchat serve demo --detach --port {port or 80}"
    else:
        fix = error.advice or target.fix
    return problem(str(code), error.what, fix)


def _health(client: "Client", target: Target) -> Finding:
    times_ms = []
    for _ping in range(_PINGS):  # the first one opens the connection
        start = time.monotonic()
        status = client.status("/health")
        times_ms.append((time.monotonic() - start) * 1000)
        if status >= 500:
            text = _("{url} is unhealthy (status {status}): its engine has died.")
            return problem("health", text.format(url=_url(client), status=status), target.fix)
    figures = {"connect_ms": round(times_ms[0], 1), "health_ms": round(min(times_ms), 1)}
    if status == 200:
        text = _("It is healthy: /health responds in {ms:.0f} ms.")
        return ok("health", text.format(ms=min(times_ms)), **figures)
    text = _("It responds in {ms:.0f} ms and has no /health, so it is not a plain vLLM.")
    return ok("health", text.format(ms=min(times_ms)), **figures)


def _url(client: "Client") -> str:
    return client.endpoint.base_url


def _key(target: Target, seconds: float) -> Findings:
    """Check that requests without the key are refused. The next checks show if it is accepted."""
    from ...api.client import Client, ServerError

    endpoint = target.endpoint
    has_key = endpoint.api_key is not None
    if endpoint.is_local and not has_key:
        return
    if has_key and not endpoint.is_local and endpoint.base_url.startswith("http:"):
        text = _("The key is sent to {url} in clear text.").format(url=endpoint.base_url)
        yield warning("tls", text, _("Put TLS in front of the server, and use https://."))
    try:
        with (
            Client(replace(endpoint, api_key=None), seconds) as client,
            _time_limit(client, seconds),
        ):
            client.models()
    except ServerError as error:
        if error.failure.code is Code.UNAUTHORIZED and has_key:
            yield ok("key_needed", _("It refuses requests without the key."))
        return
    if has_key:
        text = _("It also accepts requests without the key: the key has no effect.")
        yield warning("key_needed", text, _("Start it with a key: qchat serve --generate-key"))
    else:
        text = _("Anyone who can reach {url} can use it: it requires no key.")
        fix = _("Start it with a key: qchat serve --generate-key")
        yield warning("key_needed", text.format(url=endpoint.base_url), fix)


def _model(client: "Client", target: Target) -> tuple[str | None, Finding]:
    """The model to send requests to, and the finding on the list of models."""
    names = [str(model["id"]) for model in client.models()]
    accepted = _(" and accepts the key") if target.endpoint.api_key is not None else ""
    listing = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    requested = target.endpoint.model
    if not names:
        return None, problem("models", _("It offers no model."), target.fix)
    if requested is not None and requested not in names:
        text = _("It does not offer {model}; it offers {names}.")
        fix = _("Choose one of them with --model.")
        return None, problem("models", text.format(model=requested, names=listing), fix)
    text = _("It offers {names}{accepted}.")
    finding = ok("models", text.format(names=listing, accepted=accepted), models=len(names))
    return requested or names[0], finding


def _chat(client: "Client", model: str, target: Target) -> Finding:
    from ...api.reasoning import split_reasoning

    start = time.monotonic()
    response = client.complete(_body(model, "Hello", _SHORT_TOKENS))
    seconds = round(time.monotonic() - start, 3)
    try:
        answer = split_reasoning(response["choices"][0]["message"])
    except (LookupError, TypeError, AttributeError):
        text = _("{model} sent a response that is not a chat completion.")
        return problem("chat", text.format(model=model), target.fix)
    if answer.content is None and answer.reasoning is None:
        text = _("{model} sent an empty response.").format(model=model)
        return warning("chat", text, target.fix, seconds=seconds)
    text = _("{model} responds: a short completion took {n:.2f} s.")
    return ok("chat", text.format(model=model, n=seconds), seconds=seconds)


def _body(model: str, question: str, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": tokens}


class _StopStreamError(Exception):
    """Stops a stream that has been observed for long enough."""


@dataclass(slots=True)
class StreamTiming:
    """Arrival times of the chunks of a stream, in seconds since the request, and its tokens."""

    times: list[float] = field(default_factory=list)
    tokens: int = 0

    @property
    def first(self) -> float:
        """Seconds to the first chunk."""
        return self.times[0]

    @property
    def span(self) -> float:
        """Seconds from the first chunk to the last."""
        return self.times[-1] - self.times[0]

    @property
    def bursts(self) -> int:
        """The number of groups of chunks that arrived together."""
        return 1 + sum(gap >= _BURST_GAP for gap in self._gaps)

    @property
    def is_buffered(self) -> bool:
        """Whether a proxy seems to buffer: few bursts of chunks, long waits between, and almost
        no time within them. A fast model sends all the time, and a busy machine that reads late
        seldom waits that long."""
        if len(self.times) == 1:
            return self.tokens > _FEW_TOKENS
        within = sum(gap for gap in self._gaps if gap < _BURST_GAP)
        return (
            len(self.times) > _FEW_TOKENS * self.bursts
            and self.times[-1] > _BUFFERED_WAIT * self.bursts
            and within < self.times[-1] * 0.1
        )

    @property
    def _gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.times)]


def _time_stream(client: "Client", model: str, question: str, max_tokens: int) -> StreamTiming:
    """Stream a response of at most `max_tokens`, and time it. Raises `ServerError`."""
    from ...api.stream import StreamProgress, apply_chunk, stream_chunks

    progress, timing = StreamProgress(wants_usage=True), StreamTiming()
    start = time.monotonic()

    def on_chunk(chunk: dict[str, Any]) -> None:
        now = time.monotonic() - start
        if any(True for _event in apply_chunk(progress, chunk)):
            timing.times.append(now)
            if timing.span > _STREAM_SECONDS:
                raise _StopStreamError

    body = _body(model, question, max_tokens) | {"stream_options": {"include_usage": True}}
    with contextlib.suppress(_StopStreamError):
        stream_chunks(client, body, on_chunk, progress)
    tokens = (progress.usage or {}).get("completion_tokens")
    timing.tokens = tokens if isinstance(tokens, int) else len(timing.times)
    return timing


def _stream(client: "Client", model: str, target: Target, seconds: float) -> Finding:
    from ...api.client import ServerError

    with _time_limit(client, seconds):
        timing = _time_stream(client, model, "Count from 1 to 30.", _STREAM_TOKENS)
    if timing.times and timing.is_buffered:
        # This machine may have read that one late. If this one fails, the first one counts.
        with contextlib.suppress(ServerError), _time_limit(client, seconds):
            timing = _time_stream(client, model, "Count from 1 to 100.", _SECOND_STREAM_TOKENS)
    chunks = len(timing.times)
    if not chunks:
        return warning("stream", _("The streamed response was empty."), target.fix)
    figures = {"pieces": chunks, "first_piece_s": round(timing.first, 3)}
    if timing.is_buffered:
        text = plural(
            "The streamed response arrived in one piece: a proxy on the way buffers it.",
            "The streamed response arrived in {n} bursts: a proxy on the way buffers it.",
            timing.bursts,
        )
        fix = _("Behind nginx: proxy_buffering off; for this server's location.")
        return warning("stream", text.format(n=timing.bursts), fix, **figures)
    text = plural(
        "Responses stream: {n} chunk, the first after {first:.2f} s",
        "Responses stream: {n} chunks, the first after {first:.2f} s",
        chunks,
    ).format(n=chunks, first=timing.first)
    if timing.tokens >= _MIN_TOKENS and timing.span > _MIN_SPAN:
        rate = (timing.tokens - 1) / timing.span
        figures["tokens_per_s"] = round(rate, 1)
        text += _(", then {rate:.0f} tokens/s").format(rate=rate)
    return ok("stream", text + _("."), **figures)
