"""One streamed answer, from the chunks to the terminal: what `qchat ask` prints."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from .client import Client, ServerError
from .console import json_text, styled
from .errors import Code, Exit, Failure
from .i18n import _
from .reasoning import (
    ContentDelta,
    Continuation,
    Event,
    ReasoningDelta,
    ReasoningSplitter,
    Reclassified,
)
from .sanitize import Sanitizer

if TYPE_CHECKING:
    from .keeping import Keeper

Json = dict[str, Any]

_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


@dataclass(slots=True)
class Progress:
    """What is known of an answer so far. Times are seconds since the request was sent."""

    splitter: ReasoningSplitter | Continuation = field(default_factory=ReasoningSplitter)
    model: str | None = None
    usage: Json | None = None
    finish_reason: str | None = None
    choices: int = 0
    wants_usage: bool = False
    first_token: float | None = None
    total: float = 0.0

    def as_json(self, error: Json | None) -> Json:
        """The object that `--json` prints."""
        answer = self.splitter.answer
        said: Json = {
            "content": answer.content,
            "reasoning": answer.reasoning,
            "model": self.model,
            "usage": self.usage,
            "finish_reason": self.finish_reason,
            "timings": {
                "first_token_seconds": _rounded(self.first_token),
                "total_seconds": _rounded(self.total),
            },
        }
        return said if error is None else {**said, "error": error}


class Printer:
    """Shows an answer: content to stdout, thinking and notes to stderr, made safe on the way."""

    def __init__(self, *, as_json: bool, show_thinking: bool) -> None:
        self.as_json = as_json
        self._show_thinking = show_thinking
        self._content = Sanitizer()
        self._reasoning = Sanitizer()
        self._last = "\n"
        self._dim = styled(sys.stderr)
        self._in_thought = False

    def event(self, event: object) -> None:
        """Show one event of the splitter."""
        if isinstance(event, ContentDelta):
            self._end_thought()
            self._say(self._content.feed(event.text))
        elif isinstance(event, ReasoningDelta):
            self._think(self._reasoning.feed(event.text))
        elif isinstance(event, Reclassified) and not self.as_json:
            self._say(self._content.finish())
            self._end_line()
            self.note(
                _(
                    "What came until here was thinking, which the server does not mark at its "
                    "beginning; the answer follows. With --json the two come apart."
                )
            )

    def finish(self) -> None:
        """Show what was held back, and end the line."""
        self._think(self._reasoning.finish())
        self._end_thought()
        self._say(self._content.finish())
        self._end_line()

    def note(self, text: str) -> None:
        """A line for the person, on standard error."""
        click.echo(_("Note: {text}").format(text=text), err=True)

    def _say(self, text: str) -> None:
        if text and not self.as_json:
            self._last = text[-1]  # first: Ctrl-C may come while it is written
            sys.stdout.write(text)
            sys.stdout.flush()

    def _end_line(self) -> None:
        if self._last != "\n":
            self._say("\n")

    def _think(self, text: str) -> None:
        if not text or not self._show_thinking or self.as_json:
            return
        if not self._in_thought:
            self._in_thought = True
            sys.stderr.write(_DIM if self._dim else _("Thinking:") + "\n")
        sys.stderr.write(text)
        sys.stderr.flush()

    def _end_thought(self) -> None:
        if self._in_thought:
            self._in_thought = False
            sys.stderr.write((_RESET if self._dim else "") + "\n\n")
            sys.stderr.flush()


def stream_answer(
    client: Client, body: Json, printer: Printer, keeper: "Keeper | None" = None
) -> int:
    """Ask, print, and return the exit code. What came stays printed whatever happens after.

    With a `keeper` what came is stored, too, however the answer ends. Raises `ServerError` for a
    failed request, and with `--json` prints the object before.
    """
    progress = Progress(model=body["model"], wants_usage=printer.as_json or keeper is not None)
    if printer.as_json or keeper is not None:
        body = {"stream_options": {"include_usage": True}, **body}
    started = time.monotonic()

    def take(chunk: Json) -> None:
        for event in events(progress, chunk):
            if progress.first_token is None:
                progress.first_token = time.monotonic() - started
            printer.event(event)
        if keeper is not None:
            keeper.update(progress)

    error: ServerError | None = None
    interrupted = False
    try:
        consume(client, body, take, progress)
    except ServerError as e:
        error = e
    except KeyboardInterrupt:
        interrupted = True
    except OSError:  # nobody reads it any more
        if keeper is not None:
            progress.splitter.finish()
            _keep(keeper, progress, None, interrupted=True)
        raise
    progress.total = time.monotonic() - started
    for event in progress.splitter.finish():
        printer.event(event)
    printer.finish()
    if printer.as_json:
        said = progress.as_json(_error_object(error, interrupted))
        if keeper is not None:
            said["conversation"] = keeper.conversation.id
        click.echo(json_text(said))
    if keeper is not None:
        _keep(keeper, progress, error, interrupted)
    if interrupted:
        return Exit.INTERRUPTED
    if error is not None:
        raise error
    _notes(progress, printer)
    return Exit.OK


def consume(client: Client, body: Json, take: Callable[[Json], None], progress: Progress) -> None:
    """Ask, and give each chunk to `take`, which feeds `progress`. Raises `ServerError`."""
    try:
        for chunk in client.stream(body):
            try:
                take(chunk)
            except (TypeError, AttributeError, KeyError) as e:
                said = _("a part of the answer has not the shape of the chat API")
                raise ServerError(Failure(Code.BAD_RESPONSE, said), client.endpoint) from e
            if progress.finish_reason is not None and not progress.wants_usage:
                return
    except ServerError:
        if progress.finish_reason is None:
            raise
        # The answer is whole: what breaks after it does no harm.
    if progress.finish_reason is None:
        if progress.choices:
            failure = Failure(Code.DISCONNECTED, _("the stream ended before the answer did"))
        else:
            failure = Failure(Code.BAD_RESPONSE, _("no answer was in it"))
        raise ServerError(failure, client.endpoint)


def events(progress: Progress, chunk: Mapping[str, Any]) -> Iterable[Event]:
    """What a chunk says, noted in `progress` on the way. Raises TypeError for a wrong shape."""
    if isinstance(chunk.get("model"), str):
        progress.model = chunk["model"]
    if isinstance(chunk.get("usage"), dict):
        progress.usage = chunk["usage"]
    for choice in chunk.get("choices") or []:
        progress.choices += 1
        if choice.get("index", 0) != 0:  # n > 1 is for batch
            continue
        if choice.get("finish_reason"):
            progress.finish_reason = str(choice["finish_reason"])
        yield from progress.splitter.feed(choice.get("delta") or {})


def _keep(
    keeper: "Keeper", progress: Progress, error: ServerError | None, interrupted: bool
) -> None:
    from .store import State

    state = State.STOPPED if interrupted else State.ERROR if error else State.COMPLETE
    keeper.end(progress, state, None if error is None else str(error))


def _error_object(error: ServerError | None, interrupted: bool) -> Json | None:
    if interrupted:
        return {"code": "interrupted", "message": _("Interrupted.")}
    if error is not None:
        return {"code": str(error.failure.code), "message": str(error)}
    return None


def _notes(progress: Progress, printer: Printer) -> None:
    answer = progress.splitter.answer
    if progress.finish_reason == "length":
        if answer.content is None and answer.reasoning is not None:
            text = _(
                "The limit of tokens was reached while the model was thinking: there is no "
                "answer. Raise --max-tokens or use --no-thinking."
            )
        else:
            text = _("The answer was cut at the limit of tokens; raise --max-tokens for more.")
        printer.note(text)
    elif progress.finish_reason == "content_filter":
        printer.note(_("The server's content filter cut the answer."))
    elif answer.content is None and not printer.as_json:
        printer.note(_("The answer is empty."))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
