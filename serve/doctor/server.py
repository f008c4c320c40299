"""`qchat doctor` on a server that runs: reached as the chat reaches it, and asked for answers."""

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
from .. import keys, records
from ..records import ServerRecord
from .finding import Finding, Findings, Level, ok, problem, warning
from .settings import key_file

if TYPE_CHECKING:
    from ...api.client import Client, ServerError

_PINGS = 3
_SHORT = 16  # tokens of the answer in one piece
_LONG = 64  # tokens of the streamed one
_LONGER = 256  # tokens of a second one, where the first looks held back
_ENOUGH = 5.0  # seconds of a stream: a slow model need not come to its end
_LEAST_TOKENS = 10  # fewer, or in less seconds, make no rate
_LEAST_SPAN = 0.02
_FEW = 3  # tokens that may well come in one piece
_TOGETHER = 0.002  # seconds: pieces less apart came together
_LONG_WAIT = 0.1  # seconds for each burst
_NAMES = 5  # models named in a sentence


@dataclass(frozen=True, slots=True)
class Target:
    """A server to look at: how it is reached, and its record where it is one of qchat's."""

    endpoint: Endpoint
    record: ServerRecord | None = None

    @property
    def fix(self) -> str:
        """Where to look when it fails."""
        if self.record is not None:
            return f"qchat logs {self.record.name} --errors"
        return _("Look into the server's log.")


def of_record(record: ServerRecord, environ: Mapping[str, str]) -> Target | Finding:
    """One of qchat's own servers, with a key of its, or why none is at hand."""
    key = None
    if record.key == "variable":
        if keys.from_variable(environ) is None:
            text = _("{name} goes by the key in QCHAT_API_KEY, which is not set here.")
            fix = _("Set it as it was when the server was started.")
            return warning("key", text.format(name=record.name), fix)
        key = Secret(environ[keys.VARIABLE].strip())
    elif record.key != "none":
        held = key_file(Path(record.key), of_server=True)
        if held.level is not Level.OK:
            if Path(record.key).parent != Paths.find(environ).config / "keys":
                return held
            # The section on the settings looks at these files, and has told of it.
            text = _("{name} was not asked: its key file {file} can't be used.")
            return warning("key", text.format(name=record.name, file=record.key), held.fix)
        key = Secret(keys.one_of(Path(record.key)))
    endpoint = Endpoint(f"{record.url}/v1", key, record.served_name, record.name)
    return Target(endpoint, record)


def of_state(record: ServerRecord) -> Finding | None:
    """What its record says of a server; None for one that is ready and always was."""
    name, log = record.name, f"qchat logs {record.name} --errors"
    if record.state == records.FAILED:
        return problem("state", record.message or _("{n} has failed.").format(n=name), log)
    if record.state == records.RESTARTING:
        return warning("state", record.message, log)
    if record.state != records.READY:
        text = _("{name} is {state}; it was not asked anything.")
        return ok("state", text.format(name=name, state=record.state))
    if record.restarts:
        text = _("{name} has crashed and was started again: {message}")
        return warning("state", text.format(name=name, message=record.message), log)
    return None


def server(target: Target, seconds: float) -> Findings:
    """Reachable, well, key, models, an answer in one piece and one in a stream.

    `seconds` without a byte are a failure, and so is what is not whole after twice as many. What
    follows from an earlier failure is not asked.
    """
    from ...api.client import Client, ServerError

    with Client(target.endpoint, seconds) as client:
        try:
            with _whole(client, seconds):
                found = _health(client, target)
            yield found
            yield from _key(target, seconds)
            with _whole(client, seconds):
                model, found = _model(client, target)
            yield found
            if model is None:
                return
            with _whole(client, seconds):
                found = _chat(client, model, target)
            yield found
            yield _stream(client, model, target, seconds)
        except ServerError as error:
            yield _failed(error, target)


@contextlib.contextmanager
def _whole(client: "Client", seconds: float) -> Iterator[None]:
    """An end for what comes drop by drop: after twice `seconds`. Raises `ServerError`."""
    from ...api.client import ServerError

    limit, too_long = 2 * seconds, threading.Event()

    def end() -> None:
        too_long.set()
        client.break_off()

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except ServerError as error:
        if not too_long.is_set():
            raise
        text = _("no whole answer within {n:g} s").format(n=limit)
        raise ServerError(Failure(Code.NO_PROGRESS, text), client.endpoint) from error
    finally:
        timer.cancel()


def _failed(error: "ServerError", target: Target) -> Finding:
    code, record = error.failure.code, target.record
    if record is not None and code is Code.UNAUTHORIZED:
        fix = _("Give a key of {place}.").format(place=record.key)
        if record.key == "variable":
            fix = _("Give the key that was in QCHAT_API_KEY when it was started.")
    elif record is not None:
        fix = target.fix
    elif code is Code.UNREACHABLE and target.endpoint.is_local:
        port = urlsplit(target.endpoint.base_url).port
        fix = f"qchat serve demo --detach --port {port or 80}"
    else:
        fix = error.advice or target.fix
    return problem(str(code), error.what, fix)


def _health(client: "Client", target: Target) -> Finding:
    took = []
    for _ping in range(_PINGS):  # the first one opens the connection
        began = time.monotonic()
        status = client.status("/health")
        took.append((time.monotonic() - began) * 1000)
        if status >= 500:
            text = _("{url} says that it is not well (status {status}): its engine has died.")
            return problem("health", text.format(url=_url(client), status=status), target.fix)
    figures = {"connect_ms": round(took[0], 1), "health_ms": round(min(took), 1)}
    if status == 200:
        text = _("It is well: /health answers in {ms:.0f} ms.")
        return ok("health", text.format(ms=min(took)), **figures)
    text = _("It answers in {ms:.0f} ms and has no /health, so it is no plain vLLM.")
    return ok("health", text.format(ms=min(took)), **figures)


def _url(client: "Client") -> str:
    return client.endpoint.base_url


def _key(target: Target, seconds: float) -> Findings:
    """What happens without the key; whether it is accepted is seen by what follows."""
    from ...api.client import Client, ServerError

    endpoint = target.endpoint
    has_key = endpoint.api_key is not None
    if endpoint.is_local and not has_key:
        return
    if has_key and not endpoint.is_local and endpoint.base_url.startswith("http:"):
        text = _("The key goes to {url} in clear text.").format(url=endpoint.base_url)
        yield warning("tls", text, _("Put TLS in front of the server, and use https://."))
    try:
        with (
            Client(replace(endpoint, api_key=None), seconds) as client,
            _whole(client, seconds),
        ):
            client.models()
    except ServerError as error:
        if error.failure.code is Code.UNAUTHORIZED and has_key:
            yield ok("key_needed", _("It refuses who has no key."))
        return
    if has_key:
        text = _("It answers without the key, too: the key protects nothing.")
        yield warning("key_needed", text, _("Start it with a key: qchat serve --generate-key"))
    else:
        text = _("Everybody who reaches {url} can use it: it asks for no key.")
        fix = _("Start it with a key: qchat serve --generate-key")
        yield warning("key_needed", text.format(url=endpoint.base_url), fix)


def _model(client: "Client", target: Target) -> tuple[str | None, Finding]:
    """The model to ask, and what is said of the list."""
    names = [str(model["id"]) for model in client.models()]
    accepted = _(" and accepts the key") if target.endpoint.api_key is not None else ""
    shown = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    wanted = target.endpoint.model
    if not names:
        return None, problem("models", _("It offers no model."), target.fix)
    if wanted is not None and wanted not in names:
        text = _("It does not offer {wanted}, but {names}.")
        fix = _("Name one of them with --model.")
        return None, problem("models", text.format(wanted=wanted, names=shown), fix)
    text = _("It offers {names}{accepted}.")
    found = ok("models", text.format(names=shown, accepted=accepted), models=len(names))
    return wanted or names[0], found


def _chat(client: "Client", model: str, target: Target) -> Finding:
    from ...api.reasoning import split_reasoning

    began = time.monotonic()
    answer = client.complete(_body(model, "Hello", _SHORT))
    took = round(time.monotonic() - began, 3)
    try:
        said = split_reasoning(answer["choices"][0]["message"])
    except (LookupError, TypeError, AttributeError):
        text = _("{model} sent something that is no chat answer.")
        return problem("chat", text.format(model=model), target.fix)
    if said.content is None and said.reasoning is None:
        text = _("{model} gave an empty answer.").format(model=model)
        return warning("chat", text, target.fix, seconds=took)
    text = _("{model} answers: a short answer took {n:.2f} s.")
    return ok("chat", text.format(model=model, n=took), seconds=took)


def _body(model: str, question: str, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": tokens}


class _EnoughError(Exception):
    """The stream has shown what was to be seen."""


@dataclass(slots=True)
class Arrivals:
    """When the pieces of a streamed answer came, in seconds since the request; its tokens."""

    times: list[float] = field(default_factory=list)
    tokens: int = 0

    @property
    def first(self) -> float:
        """Until the first piece."""
        return self.times[0]

    @property
    def span(self) -> float:
        """From the first piece to the last."""
        return self.times[-1] - self.times[0]

    @property
    def bursts(self) -> int:
        """Groups of pieces that came together."""
        return 1 + sum(gap >= _TOGETHER for gap in self._gaps)

    @property
    def held_back(self) -> bool:
        """Whether somebody on the way kept pieces and gave them out together: few bursts, long
        waits between them, and next to no time within them. A fast model fills its time with
        pieces, and a busy machine that reads late seldom waits that long."""
        if len(self.times) == 1:
            return self.tokens > _FEW
        within = sum(gap for gap in self._gaps if gap < _TOGETHER)
        return (
            len(self.times) > _FEW * self.bursts
            and self.times[-1] > _LONG_WAIT * self.bursts
            and within < self.times[-1] * 0.1
        )

    @property
    def _gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.times)]


def _listen(client: "Client", model: str, question: str, most: int) -> Arrivals:
    """A streamed answer of at most `most` tokens. Raises `ServerError`."""
    from ...api.stream import StreamProgress, apply_chunk, stream_chunks

    progress, arrivals = StreamProgress(wants_usage=True), Arrivals()
    began = time.monotonic()

    def take(chunk: dict[str, Any]) -> None:
        now = time.monotonic() - began
        if any(True for _event in apply_chunk(progress, chunk)):
            arrivals.times.append(now)
            if arrivals.span > _ENOUGH:
                raise _EnoughError

    body = _body(model, question, most) | {"stream_options": {"include_usage": True}}
    with contextlib.suppress(_EnoughError):
        stream_chunks(client, body, take, progress)
    said = (progress.usage or {}).get("completion_tokens")
    arrivals.tokens = said if isinstance(said, int) else len(arrivals.times)
    return arrivals


def _stream(client: "Client", model: str, target: Target, seconds: float) -> Finding:
    from ...api.client import ServerError

    with _whole(client, seconds):
        arrivals = _listen(client, model, "Count from 1 to 30.", _LONG)
    if arrivals.times and arrivals.held_back:
        # A busy machine may have read that one late. What fails now leaves it as it was.
        with contextlib.suppress(ServerError), _whole(client, seconds):
            arrivals = _listen(client, model, "Count from 1 to 100.", _LONGER)
    pieces = len(arrivals.times)
    if not pieces:
        return warning("stream", _("The streamed answer was empty."), target.fix)
    figures = {"pieces": pieces, "first_piece_s": round(arrivals.first, 3)}
    if arrivals.held_back:
        text = plural(
            "The streamed answer came in one piece: something on the way holds it back.",
            "The streamed answer came in {n} bursts: something on the way holds it back.",
            arrivals.bursts,
        )
        fix = _("Behind nginx: proxy_buffering off; for this server's location.")
        return warning("stream", text.format(n=arrivals.bursts), fix, **figures)
    text = plural(
        "Answers stream: {n} piece, the first after {first:.2f} s",
        "Answers stream: {n} pieces, the first after {first:.2f} s",
        pieces,
    ).format(n=pieces, first=arrivals.first)
    if arrivals.tokens >= _LEAST_TOKENS and arrivals.span > _LEAST_SPAN:
        rate = (arrivals.tokens - 1) / arrivals.span
        figures["tokens_per_s"] = round(rate, 1)
        text += _(", then {rate:.0f} tokens/s").format(rate=rate)
    return ok("stream", text + ".", **figures)
