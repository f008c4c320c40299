"""An answer that is being generated: drawn where its conversation is shown, stored anyway."""

import time
from typing import TYPE_CHECKING

from ...api.reasoning import ContentDelta, Event, ReasoningDelta, Reclassified
from ...message_state import MessageState
from ..transcript.answer_stats import AnswerResult
from ..transcript.message import Message
from ..transcript.transcript import Transcript
from .request_thread import RequestThread

if TYPE_CHECKING:
    from .repository import ConversationRepository, StartedAnswer


class PendingAnswer:
    """One pending answer.

    `id` is that of the store, `index` the place in the transcript, None while another conversation
    is shown. `request_thread` and `repository` are set when the request is sent.
    """

    request_thread: RequestThread
    repository: "ConversationRepository"

    def __init__(
        self, conversation: str, title: str, started: "StartedAnswer", index: int | None
    ) -> None:
        self.conversation = conversation
        self.title = title
        self.id = started.answer
        self.version = started.version
        self.index = index
        self._continued = started.continued
        self._saved = ("", "")
        self._has_content = False

    @property
    def text(self) -> tuple[str, str]:
        """What has arrived so far: content and reasoning."""
        return "".join(self.request_thread.content), "".join(self.request_thread.reasoning)

    def unsaved(self) -> tuple[str, str] | None:
        """What has arrived, for a checkpoint; None where that is stored already."""
        text = self.text
        if text == self._saved:
            return None
        self._saved = text
        return text

    def message(self) -> Message:
        """The answer as it is drawn now."""
        content, reasoning = self.text
        return Message(
            "assistant",
            content,
            reasoning,
            MessageState.STREAMING,
            id=self.id,
            version=self.version,
        )

    def draw(self, transcript: Transcript, events: list[Event]) -> None:
        """Draw new events."""
        if self.index is None:
            return
        for event in events:
            if isinstance(event, ContentDelta):
                transcript.stream(self.index, event.text)
            elif isinstance(event, ReasoningDelta):
                transcript.stream(self.index, reasoning=event.text)
            elif isinstance(event, Reclassified):
                message = self.message()._replace(text="", reasoning=event.reasoning)
                transcript.replace(self.index, message)
        if self.request_thread.first_content is not None and not self._has_content:
            self._has_content = True
            self._draw_seconds(transcript, self.request_thread.first_content)

    def tick(self, transcript: Transcript) -> None:
        """Redraw how long the model has been reasoning."""
        if not self._has_content:
            self._draw_seconds(transcript, time.monotonic())

    def _draw_seconds(self, transcript: Transcript, end: float) -> None:
        if self.index is not None and self.request_thread.reasoning:
            message = transcript.messages[self.index]
            seconds = end - self.request_thread.started
            transcript.annotate(self.index, message._replace(thought_seconds=seconds))

    def reasoning_seconds(self, result: AnswerResult) -> float | None:
        """Seconds of reasoning before the content began; None without reasoning."""
        if self._continued is not None:
            seconds = self._continued.timings.get("reasoning_seconds")
            return seconds if isinstance(seconds, float) else None
        first = self.request_thread.first_content
        if first is None or not result.reasoning:
            return None
        return first - self.request_thread.started

    def stop(self) -> AnswerResult:
        """Stop the request; the result is what has arrived."""
        self.request_thread.stop()
        content, reasoning = self.text
        total = time.monotonic() - self.request_thread.started
        return AnswerResult(content, reasoning, None, None, None, None, total)
