"""A request in a thread of its own; the event loop never waits for a server."""

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
from ..transcript.answer_stats import AnswerResult

if TYPE_CHECKING:
    from ...api.client import Client
    from ...api.stream import StreamProgress


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for an answer; `model` None means the server's only one.

    `prefix`, content and reasoning of an answer, is to be continued: it is the last of the
    `messages`, and the answer begins with it.
    """

    endpoint: Endpoint
    model: str | None
    messages: list[JsonObject]
    sampling: Sampling
    prefix: tuple[str, str] = ("", "")


class RequestThread:
    """A request in progress. `on_events` and `on_end` are called on the window's event loop.

    After `stop` neither is called.
    """

    def __init__(
        self,
        request: ChatRequest,
        on_events: "Callable[[list[Event]], None]",
        on_end: Callable[[AnswerResult], None],
    ) -> None:
        self.request = request
        self._on_events = on_events
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # Textual's timers look for the app in it
        self._stopped = threading.Event()
        self._client: Client | None = None
        self.content: list[str] = [text for text in request.prefix[:1] if text]
        self.reasoning: list[str] = [text for text in request.prefix[1:] if text]
        self.started = time.monotonic()
        self.first_content: float | None = None
        threading.Thread(target=self._run, name="chat-request", daemon=True).start()

    def stop(self) -> None:
        """Close the connection at once; no callback is called any more."""
        self._stopped.set()
        if (client := self._client) is not None:
            client.break_off()

    def _run(self) -> None:
        try:
            self._request()
        except _StoppedError:
            return

    def _request(self) -> None:
        from ...api.stream import StreamProgress, finish_stream

        progress = StreamProgress(wants_usage=True, shows_tool_calls=True)
        content, reasoning = self.request.prefix
        if content:
            progress.splitter = Continuation()
        error = ""
        try:
            self._stream(progress)
        except QchatError as e:
            error = str(e)
        except _StoppedError:
            raise
        except Exception as e:  # nothing else would report it
            error = f"{type(e).__name__}: {e}"
        if self._stopped.is_set():
            return
        last = finish_stream(progress)
        progress.total = time.monotonic() - self.started
        answer = progress.splitter.answer
        result = AnswerResult(
            content + (answer.content or ""),
            reasoning + (answer.reasoning or ""),
            progress.model,
            progress.usage,
            progress.finish_reason,
            progress.first_token,
            progress.total,
            error,
        )
        self._call(self._apply, last)
        self._call(self._end, result)

    def _stream(self, progress: "StreamProgress") -> None:
        from ...api.client import Client
        from ...api.models import server_model
        from ...api.stream import apply_chunk, stream_chunks

        request = self.request
        if request.endpoint.unusable:
            raise UsageError(request.endpoint.unusable)
        with Client(request.endpoint) as client:
            self._client = client
            if self._stopped.is_set():
                raise _StoppedError  # before there was a connection to close
            progress.model = request.model or server_model(client, "/model")
            self.started = time.monotonic()  # what was imported before is not the server's time
            body = request.sampling.fill({"model": progress.model, "messages": request.messages})
            body = {"stream_options": {"include_usage": True}, **body}
            if request.prefix[0]:
                body |= {"continue_final_message": True, "add_generation_prompt": False}

            def receive(chunk: JsonObject) -> None:
                if self._stopped.is_set():
                    raise _StoppedError
                events = list(apply_chunk(progress, chunk))
                if events and progress.first_token is None:
                    progress.first_token = time.monotonic() - self.started
                if events:
                    self._call(self._apply, events)

            stream_chunks(client, body, receive, progress)

    def _call(self, function: Callable[[Any], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, value, context=self._context)
        except RuntimeError:
            raise _StoppedError from None  # the window is closed

    def _apply(self, events: "list[Event]") -> None:
        if self._stopped.is_set():
            return
        for event in events:
            if isinstance(event, ContentDelta):
                if self.first_content is None:
                    self.first_content = time.monotonic()
                self.content.append(event.text)
            elif isinstance(event, ReasoningDelta):
                self.reasoning.append(event.text)
            elif isinstance(event, Reclassified):
                self.content.clear()
                self.first_content = None  # that was reasoning, too
                self.reasoning[:] = [event.reasoning]
        self._on_events(events)

    def _end(self, result: AnswerResult) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            self._on_end(result)


class _StoppedError(Exception):
    """The request was stopped."""
