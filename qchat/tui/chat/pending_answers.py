"""The answers being generated: at most one in each conversation, shown or not."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...message_state import MessageState
from ..transcript.transcript import Transcript
from ..window import Window

if TYPE_CHECKING:
    from ..transcript.answer_stats import AnswerResult
    from .pending_answer import PendingAnswer
    from .repository import ConversationRepository
    from .request_thread import ChatRequest


class PendingAnswers:
    """Starts, stops and stores answers.

    `on_finished` is called with each answer that has ended: completed, stopped or failed.
    """

    def __init__(
        self,
        window: Window,
        transcript: Transcript,
        on_finished: "Callable[[PendingAnswer, AnswerResult, MessageState], None]",
    ) -> None:
        self._window = window
        self._transcript = transcript
        self._on_finished = on_finished
        self._pending: dict[str, PendingAnswer] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def get(self, conversation: str | None) -> "PendingAnswer | None":
        """The pending answer of a conversation; None where there is none."""
        return self._pending.get(conversation or "")

    def start(
        self,
        repository: "ConversationRepository",
        answer: "PendingAnswer",
        request: "ChatRequest",
    ) -> None:
        """Send a request; what arrives is drawn in the transcript and stored."""
        from .request_thread import RequestThread

        def finish(result: "AnswerResult") -> None:
            state = MessageState.ERROR if result.error else MessageState.COMPLETE
            self._finish(repository, answer, result, state)

        answer.request_thread = RequestThread(
            request, lambda events: answer.draw(self._transcript, events), finish
        )
        answer.repository = repository
        self._pending[answer.conversation] = answer

    def _finish(
        self,
        repository: "ConversationRepository",
        answer: "PendingAnswer",
        result: "AnswerResult",
        state: MessageState,
    ) -> None:
        del self._pending[answer.conversation]
        seconds = answer.reasoning_seconds(result)
        self._window.follow(repository.finish_answer(answer.id, result, state, seconds))
        self._on_finished(answer, result, state)

    def stop(self, conversation: str | None) -> bool:
        """Stop the answer of a conversation; what arrived is stored. False without one."""
        answer = self.get(conversation)
        if answer is not None:
            self._finish(answer.repository, answer, answer.stop(), MessageState.STOPPED)
        return answer is not None

    def stop_all(self) -> None:
        """Stop the answers of all conversations."""
        for conversation in list(self._pending):
            self.stop(conversation)

    def abandon(self) -> None:
        """Close the connections; nothing more is drawn or stored."""
        for answer in self._pending.values():
            answer.request_thread.stop()

    def checkpoint(self) -> None:
        """Store what has arrived since the last call, and redraw the times."""
        for answer in self._pending.values():
            answer.tick(self._transcript)
            if (text := answer.unsaved()) is not None:
                self._window.follow(answer.repository.checkpoint(answer.id, *text))
