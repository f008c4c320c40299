"""An answer on its way: drawn where its conversation is shown, kept in any case."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...api.reasoning import ContentDelta, Event, ReasoningDelta, Reclassified
from ..transcript.message import AnswerState, Message
from ..transcript.transcript import Transcript
from .request_thread import AnswerResult, RequestThread

if TYPE_CHECKING:
    from .repository import StartedAnswer


class PendingAnswer:
    """One answer on its way.

    `answer` is its id in the store, `at` its index in the transcript, None while another
    conversation is shown. `asking` is set once it is asked for.
    """

    asking: RequestThread

    def __init__(
        self, conversation: str, title: str, begun: "StartedAnswer", at: int | None
    ) -> None:
        self.conversation = conversation
        self.title = title
        self.answer = begun.answer
        self.version = begun.version
        self.at = at
        self._before = begun.before
        self._saved = ("", "")
        self._answers = False

    @property
    def text(self) -> tuple[str, str]:
        """What has come until now: content and reasoning."""
        return "".join(self.asking.content), "".join(self.asking.reasoning)

    def unsaved(self) -> tuple[str, str] | None:
        """What has come, for a checkpoint; None where that is stored already."""
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
            AnswerState.STREAMING,
            id=self.answer,
            version=self.version,
        )

    def draw(self, transcript: Transcript, events: list[Event]) -> None:
        """More has come."""
        if self.at is None:
            return
        for event in events:
            if isinstance(event, ContentDelta):
                transcript.stream(self.at, event.text)
            elif isinstance(event, ReasoningDelta):
                transcript.stream(self.at, reasoning=event.text)
            elif isinstance(event, Reclassified):
                shown = replace(self.message(), text="", reasoning=event.reasoning)
                transcript.replace(self.at, shown)
        if self.asking.first_content is not None and not self._answers:
            self._answers = True
            self._show_time(transcript, self.asking.first_content)

    def tick(self, transcript: Transcript) -> None:
        """Time goes on: how long it has been thinking."""
        if not self._answers:
            self._show_time(transcript, time.monotonic())

    def _show_time(self, transcript: Transcript, until: float) -> None:
        if self.at is not None and self.asking.reasoning:
            message = transcript.messages[self.at]
            seconds = until - self.asking.started
            transcript.annotate(self.at, replace(message, thought_seconds=seconds))

    def thought(self, end: AnswerResult) -> float | None:
        """Seconds of thinking before the answer began, where it thought."""
        if self._before is not None:
            seconds = self._before.timings.get("reasoning_seconds")
            return seconds if isinstance(seconds, float) else None
        first = self.asking.first_content
        return first - self.asking.started if end.reasoning and first is not None else None

    def cut(self) -> AnswerResult:
        """Stop it; what came is its end."""
        self.asking.stop()
        content, reasoning = self.text
        total = time.monotonic() - self.asking.started
        return AnswerResult(content, reasoning, None, None, None, None, total)
