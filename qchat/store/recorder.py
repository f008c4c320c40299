"""Recording a question and its answer, for `qchat ask --save` and for the chat alike."""

from ..json_types import JsonObject
from ..message_state import MessageState
from .messages import LEAF, Leaf
from .records import StoredMessage
from .store import Store
from .text import title_of


class AnswerRecorder:
    """Stores questions, and answers while they are streamed. Every method may raise `StoreError`.

    Each call is on disk when it returns. Several answers may be recorded at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_question(
        self,
        conversation: str,
        text: str,
        *,
        parent: int | Leaf | None = LEAF,
        extra: JsonObject | None = None,
    ) -> StoredMessage:
        """Store a question below `parent`; `extra` as in `StoredMessage`."""
        return self._store.messages.add(conversation, "user", text, parent=parent, extra=extra)

    def add_conversation(
        self,
        question: str,
        *,
        system: str | None = None,
        server: str | None = None,
        model: str | None = None,
        settings: JsonObject | None = None,
        extra: JsonObject | None = None,
    ) -> StoredMessage:
        """Store a question with a conversation of its own, which it gives the title: both or
        neither."""
        with self._store.together():
            conversation = self._store.conversations.create(
                title=title_of(question),
                system=system,
                server=server,
                model=model,
                settings=settings,
            )
            return self.add_question(conversation.id, question, extra=extra)

    def begin(
        self,
        conversation: str,
        *,
        server: str,
        model: str | None,
        system: str | None,
        parameters: JsonObject,
        parent: int | Leaf | None = LEAF,
    ) -> StoredMessage:
        """Begin an answer to the question `parent`, with what it is asked of whom.

        `system` is the system prompt of the request and `parameters` the rest of its body, without
        model and messages.
        """
        used: JsonObject = {"server": server}
        if parameters:
            used["request"] = parameters
        if system:
            used["system"] = system
        return self._store.messages.begin(conversation, parent=parent, model=model, used=used)

    def checkpoint(self, answer: int, content: str, reasoning: str | None) -> None:
        """Store the answer as far as it has come."""
        self._store.messages.checkpoint(answer, content, reasoning or None)

    def finish(
        self,
        answer: int,
        state: MessageState,
        content: str,
        reasoning: str | None,
        *,
        error: str | None,
        finish_reason: str | None,
        model: str | None,
        usage: JsonObject | None,
        first_token: float | None,
        total: float,
        reasoning_seconds: float | None = None,
    ) -> StoredMessage:
        """Store the end of an answer. Times are seconds since the request was sent."""
        timings = {
            "first_token_seconds": first_token,
            "total_seconds": total,
            "reasoning_seconds": reasoning_seconds,
        }
        return self._store.messages.finish(
            answer,
            state,
            content,
            reasoning or None,
            error=error or None,
            finish_reason=finish_reason,
            model=model,
            usage=usage or {},
            timings={name: round(s, 4) for name, s in timings.items() if s is not None},
        )
