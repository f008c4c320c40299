"""The question of `qchat ask` and its answer in the store, while the answer is streamed."""

import time
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..i18n import _
from ..json_types import JsonObject
from ..store import AnswerRecorder, MessageState, Store, StoredConversation, StoreError
from .chat_selection import select_conversation

if TYPE_CHECKING:
    from ..api.stream import StreamProgress


CHECKPOINT_SECONDS: Final = 0.5
"""Seconds between two checkpoints of an answer, which is what `kill -9` costs of it at most."""


class SavedAsk:
    """Stores one question and its answer. The question is on disk once this is made."""

    def __init__(self, store: Store, conversation: StoredConversation) -> None:
        self.conversation = conversation
        self.messages: list[JsonObject] = store.for_api(conversation.id)
        self._store = store
        self._recorder = AnswerRecorder(store)
        self._answer: int | None = None
        self._last_checkpoint = 0.0
        self._store_error: StoreError | None = None

    @classmethod
    def new(cls, store: Store, question: str, system: str | None) -> "SavedAsk":
        """Begin a conversation with this question."""
        message = AnswerRecorder(store).add_conversation(question, system=system)
        return cls(store, store.conversations.get(message.conversation))

    @classmethod
    def continuing(
        cls, store: Store, conversation_id: str | None, question: str, system: str | None
    ) -> "SavedAsk":
        """Add the question to a conversation, by default the last one. Raises `UsageError`."""
        conversation = _find(store, conversation_id)
        with store.together():
            if system is not None:
                conversation = store.conversations.set_system(conversation.id, system)
            AnswerRecorder(store).add_question(conversation.id, question)
            return cls(store, conversation)

    @property
    def sent(self) -> bool:
        """Whether the request was sent."""
        return self._answer is not None

    def begin(self, body: JsonObject, server: str) -> None:
        """Store that the request is sent now."""
        model = str(body["model"])
        self._store.conversations.set_server(self.conversation.id, server, model)
        self._answer = self._recorder.begin(
            self.conversation.id,
            server=server,
            model=model,
            system=self.conversation.system,
            parameters={k: v for k, v in body.items() if k not in ("messages", "model")},
        ).id
        self._last_checkpoint = time.monotonic()

    def update(self, progress: "StreamProgress") -> None:
        """Checkpoint the answer where that is due. An error of the store does not end the answer:
        `end` raises it, where it lasts."""
        now = time.monotonic()
        if self._answer is None or self._store_error is not None:
            return
        if now - self._last_checkpoint < CHECKPOINT_SECONDS:
            return
        answer = progress.splitter.answer
        try:
            self._recorder.checkpoint(self._answer, answer.content or "", answer.reasoning)
        except StoreError as e:
            self._store_error = e
        self._last_checkpoint = time.monotonic()

    def end(self, progress: "StreamProgress", state: MessageState, error: str | None) -> None:
        """Store the end of the answer. Raises `StoreError`."""
        assert self._answer is not None
        answer = progress.splitter.answer
        self._recorder.finish(
            self._answer,
            state,
            answer.content or "",
            answer.reasoning,
            error=error,
            finish_reason=progress.finish_reason,
            model=progress.model,
            usage=progress.usage,
            first_token=progress.first_token,
            total=progress.total,
        )


def _find(store: Store, conversation_id: str | None) -> StoredConversation:
    if conversation_id is None and store.conversations.last() is None:
        raise UsageError(_("There is no conversation to continue."))
    conversation = select_conversation(store, conversation_id)
    if conversation.deleted is not None:
        text = _("{id} was deleted; restore it first: qchat chats restore {id}")
        raise UsageError(text.format(id=conversation.id))
    return conversation
