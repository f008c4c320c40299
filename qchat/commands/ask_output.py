"""What `qchat ask` prints: a streamed answer on the terminal."""

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from ..api.client import Client, ServerError
from ..api.reasoning import ContentDelta, ReasoningDelta, Reclassified
from ..api.stream import StreamProgress, apply_chunk, stream_chunks
from ..console import json_text, styled
from ..errors import Exit
from ..i18n import _
from ..json_types import JsonObject
from ..sanitize import Sanitizer

if TYPE_CHECKING:
    from .saved_ask import SavedAsk

_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


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
    client: Client, body: JsonObject, printer: Printer, keeper: "SavedAsk | None" = None
) -> int:
    """Ask, print, and return the exit code. What came stays printed whatever happens after.

    With a `keeper` what came is stored, too, however the answer ends. Raises `ServerError` for a
    failed request, and with `--json` prints the object before.
    """
    progress = StreamProgress(
        model=body["model"], wants_usage=printer.as_json or keeper is not None
    )
    if printer.as_json or keeper is not None:
        body = {"stream_options": {"include_usage": True}, **body}
    started = time.monotonic()

    def take(chunk: JsonObject) -> None:
        for event in apply_chunk(progress, chunk):
            if progress.first_token is None:
                progress.first_token = time.monotonic() - started
            printer.event(event)
        if keeper is not None:
            keeper.update(progress)

    error: ServerError | None = None
    interrupted = False
    try:
        stream_chunks(client, body, take, progress)
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


def _keep(
    keeper: "SavedAsk", progress: StreamProgress, error: ServerError | None, interrupted: bool
) -> None:
    from ..store import MessageState

    state = (
        MessageState.STOPPED
        if interrupted
        else MessageState.ERROR
        if error
        else MessageState.COMPLETE
    )
    keeper.end(progress, state, None if error is None else str(error))


def _error_object(error: ServerError | None, interrupted: bool) -> JsonObject | None:
    if interrupted:
        return {"code": "interrupted", "message": _("Interrupted.")}
    if error is not None:
        return {"code": str(error.failure.code), "message": str(error)}
    return None


def _notes(progress: StreamProgress, printer: Printer) -> None:
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
