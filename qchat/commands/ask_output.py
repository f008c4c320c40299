"""Printing a streamed answer for `qchat ask`."""

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
from ..sanitize import Sanitizer, one_line

if TYPE_CHECKING:
    from .saved_ask import SavedAsk

_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class Printer:
    """Prints an answer: content to stdout, reasoning and notes to stderr, both sanitised."""

    def __init__(self, *, as_json: bool, show_thinking: bool) -> None:
        self.as_json = as_json
        self._show_thinking = show_thinking
        self._content = Sanitizer()
        self._reasoning = Sanitizer()
        self._last = "\n"
        self._dim = styled(sys.stderr)
        self._in_reasoning = False

    def event(self, event: object) -> None:
        """Print one event of the reasoning splitter."""
        if isinstance(event, ContentDelta):
            self._end_reasoning()
            self._write(self._content.feed(event.text))
        elif isinstance(event, ReasoningDelta):
            self._write_reasoning(self._reasoning.feed(event.text))
        elif isinstance(event, Reclassified) and not self.as_json:
            self._write(self._content.finish())
            self._end_line()
            self.note(
                _(
                    "The text so far was reasoning: the server marks only its end. The answer "
                    "follows. --json separates the two."
                )
            )

    def finish(self) -> None:
        """Print what the sanitisers still hold, and end the line."""
        self._write_reasoning(self._reasoning.finish())
        self._end_reasoning()
        self._write(self._content.finish())
        self._end_line()

    def note(self, text: str) -> None:
        """Print a note on standard error."""
        click.echo(_("Note: {text}").format(text=text), err=True)

    def _write(self, text: str) -> None:
        if text and not self.as_json:
            self._last = text[-1]  # before the write, which Ctrl-C may interrupt
            sys.stdout.write(text)
            sys.stdout.flush()

    def _end_line(self) -> None:
        if self._last != "\n":
            self._write("\n")

    def _write_reasoning(self, text: str) -> None:
        if not text or not self._show_thinking or self.as_json:
            return
        if not self._in_reasoning:
            self._in_reasoning = True
            sys.stderr.write(_DIM if self._dim else _("Thinking:") + "\n")
        sys.stderr.write(text)
        sys.stderr.flush()

    def _end_reasoning(self) -> None:
        if self._in_reasoning:
            self._in_reasoning = False
            sys.stderr.write((_RESET if self._dim else "") + "\n\n")
            sys.stderr.flush()


def stream_answer(
    client: Client, body: JsonObject, printer: Printer, saved: "SavedAsk | None" = None
) -> int:
    """Send the request, print the answer as it is streamed, and return the exit code.

    With `saved` the answer is stored, too, however it ends. Raises `ServerError` for a failed
    request; with `--json` the object is printed before.
    """
    progress = StreamProgress(model=body["model"], wants_usage=printer.as_json or saved is not None)
    if printer.as_json or saved is not None:
        body = {"stream_options": {"include_usage": True}, **body}
    started = time.monotonic()

    def on_chunk(chunk: JsonObject) -> None:
        for event in apply_chunk(progress, chunk):
            if progress.first_token is None:
                progress.first_token = time.monotonic() - started
            printer.event(event)
        if saved is not None:
            saved.update(progress)

    error: ServerError | None = None
    interrupted = False
    try:
        stream_chunks(client, body, on_chunk, progress)
    except ServerError as e:
        error = e
    except KeyboardInterrupt:
        interrupted = True
    except OSError:  # the reader of standard output is gone
        if saved is not None:
            progress.splitter.finish()
            _end(saved, progress, None, interrupted=True)
        raise
    progress.total = time.monotonic() - started
    for event in progress.splitter.finish():
        printer.event(event)
    printer.finish()
    if printer.as_json:
        result = progress.as_json(_error_object(error, interrupted))
        if saved is not None:
            result["conversation"] = saved.conversation.id
        click.echo(json_text(result))
    if saved is not None:
        _end(saved, progress, error, interrupted)
    if interrupted:
        return Exit.INTERRUPTED
    if error is not None:
        raise error
    _notes(progress, printer)
    return Exit.OK


def _end(
    saved: "SavedAsk", progress: StreamProgress, error: ServerError | None, interrupted: bool
) -> None:
    from ..store import MessageState

    state = (
        MessageState.STOPPED
        if interrupted
        else MessageState.ERROR
        if error
        else MessageState.COMPLETE
    )
    saved.end(progress, state, None if error is None else str(error))


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
                "The token limit was reached during reasoning, so there is no answer. "
                "Raise --max-tokens or use --no-thinking."
            )
        else:
            text = _("The answer was truncated at the token limit; raise --max-tokens for more.")
        printer.note(text)
    elif progress.finish_reason == "content_filter":
        printer.note(_("The server's content filter truncated the answer."))
    elif progress.tool_calls.calls and not printer.as_json:
        for call in progress.tool_calls.calls:
            text = _("The model calls the tool {name} with {arguments}; qchat ask runs none.")
            printer.note(text.format(name=one_line(call.name), arguments=one_line(call.arguments)))
    elif answer.content is None and not printer.as_json:
        printer.note(_("The answer is empty."))
