"""One answer, asked for in a thread of its own; the screen never waits for a server."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...api.endpoint import Endpoint
from ...api.reasoning import ContentDelta, Continuation, Event, ReasoningDelta, Reclassified
from ...errors import QchatError, UsageError
from ...json_types import JsonObject
from ...sampling import Sampling
from ..request_settings import MissingServer

if TYPE_CHECKING:
    from ...api.client import Client
    from ...api.stream import StreamProgress


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked, of whom; `model` None means the server's only one.

    `begun`, content and reasoning of an answer, is to be gone on with: it is the last of the
    `messages`, and the answer begins with it.
    """

    endpoint: Endpoint
    model: str | None
    messages: list[JsonObject]
    sampling: Sampling
    begun: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """How an answer ended. `error` is a sentence for a person, '' where all went well."""

    content: str
    reasoning: str
    model: str | None
    usage: JsonObject | None
    finish_reason: str | None
    first_token: float | None
    total: float
    error: str = ""


class RequestThread:
    """A request on its way. `apply_chunk` and `ended` are called on the loop of the screen."""

    def __init__(
        self,
        request: ChatRequest,
        apply_chunk: "Callable[[list[Event]], None]",
        ended: Callable[[AnswerResult], None],
    ) -> None:
        self.request = request
        self._take = apply_chunk
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # Textual's timers look for the app in it
        self._stopped = threading.Event()
        self._client: Client | None = None
        self.content: list[str] = [text for text in request.begun[:1] if text]
        self.reasoning: list[str] = [text for text in request.begun[1:] if text]
        self.started = time.monotonic()
        self.first_content: float | None = None
        threading.Thread(target=self._run, name="asking", daemon=True).start()

    def stop(self) -> None:
        """Nothing more comes from here; the connection is closed at once."""
        self._stopped.set()
        if (client := self._client) is not None:
            client.break_off()

    def _run(self) -> None:
        try:
            self._ask()
        except _StoppedError:
            return

    def _ask(self) -> None:
        from ...api.stream import StreamProgress

        progress = StreamProgress(wants_usage=True)
        content, reasoning = self.request.begun
        if content:
            progress.splitter = Continuation()
        error = ""
        try:
            self._stream(progress)
        except QchatError as e:
            error = str(e)
        except _StoppedError:
            raise
        except Exception as e:  # a thread has nobody else to tell
            error = f"{type(e).__name__}: {e}"
        if self._stopped.is_set():
            return
        last = progress.splitter.finish()
        progress.total = time.monotonic() - self.started
        answer = progress.splitter.answer
        end = AnswerResult(
            content + (answer.content or ""),
            reasoning + (answer.reasoning or ""),
            progress.model,
            progress.usage,
            progress.finish_reason,
            progress.first_token,
            progress.total,
            error,
        )
        self._call(self._pass_on, last)
        self._call(self._end, end)

    def _stream(self, progress: "StreamProgress") -> None:
        from ...api.client import Client
        from ...api.models import server_model
        from ...api.stream import apply_chunk, stream_chunks

        request = self.request
        if isinstance(request.endpoint, MissingServer):
            raise UsageError(request.endpoint.trouble)
        with Client(request.endpoint) as client:
            self._client = client
            if self._stopped.is_set():
                raise _StoppedError  # before there was a connection to close
            progress.model = request.model or server_model(client, "/model")
            self.started = time.monotonic()  # what was imported before is not the server's time
            body = request.sampling.fill({"model": progress.model, "messages": request.messages})
            body = {"stream_options": {"include_usage": True}, **body}
            if request.begun[0]:
                body |= {"continue_final_message": True, "add_generation_prompt": False}

            def take(chunk: JsonObject) -> None:
                if self._stopped.is_set():
                    raise _StoppedError
                found = list(apply_chunk(progress, chunk))
                if found and progress.first_token is None:
                    progress.first_token = time.monotonic() - self.started
                if found:
                    self._call(self._pass_on, found)

            stream_chunks(client, body, take, progress)

    def _call(self, function: Callable[[Any], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, value, context=self._context)
        except RuntimeError:
            raise _StoppedError from None  # the screen is gone

    def _pass_on(self, found: "list[Event]") -> None:
        if self._stopped.is_set():
            return
        for event in found:
            if isinstance(event, ContentDelta):
                if self.first_content is None:
                    self.first_content = time.monotonic()
                self.content.append(event.text)
            elif isinstance(event, ReasoningDelta):
                self.reasoning.append(event.text)
            elif isinstance(event, Reclassified):
                self.content.clear()
                self.first_content = None  # that was thinking, too
                self.reasoning[:] = [event.reasoning]
        self._take(found)

    def _end(self, end: AnswerResult) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            self._ended(end)


class _StoppedError(Exception):
    """The person does not want the rest."""
