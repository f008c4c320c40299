"""An asked question and its answer in the store, while the answer comes."""

import time
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..i18n import _
from ..json_types import JsonObject
from ..store import MessageState, Store, StoredConversation, StoreError, title_of

if TYPE_CHECKING:
    from ..api.stream import StreamProgress


# An answer is stored as far as it has come no oftener than this; `kill -9` costs so much of it.
CHECKPOINT_SECONDS: Final = 0.5


class SavedAsk:
    """Keeps one question and its answer. The question is on disk once `ask` has returned."""

    def __init__(self, store: Store, conversation: StoredConversation) -> None:
        self._store = store
        self.conversation = conversation
        self._answer: int | None = None
        self._last = 0.0
        self._trouble: StoreError | None = None

    @classmethod
    def new(cls, store: Store, text: str, system: str | None) -> "SavedAsk":
        """A conversation of its own for this question."""
        return cls(store, store.conversations.create(title=title_of(text), system=system))

    @classmethod
    def going_on(cls, store: Store, given: str | None, system: str | None) -> "SavedAsk":
        """The conversation named, or the last one. Raises `UsageError`."""
        if given is None:
            last = store.conversations.last()
            if last is None:
                raise UsageError(_("There is no conversation to go on with."))
            found = [last]
        else:
            found = store.conversations.find(given)
        if len(found) != 1:
            text = _("{id!r} names no conversation, or several; see: qchat chats list")
            raise UsageError(text.format(id=given))
        conversation = found[0]
        if conversation.deleted is not None:
            text = _("{id} was deleted; first: qchat chats restore {id}")
            raise UsageError(text.format(id=conversation.id))
        if system is not None:
            conversation = store.conversations.set_system(conversation.id, system)
        return cls(store, conversation)

    @property
    def asked(self) -> bool:
        """Whether the request went out."""
        return self._answer is not None

    def ask(self, text: str) -> list[JsonObject]:
        """Store the question; the messages to send."""
        self._store.messages.add(self.conversation.id, "user", text)
        return self._store.for_api(self.conversation.id)

    def begin(self, body: JsonObject, server: str) -> None:
        """The request goes out now."""
        asked = {k: v for k, v in body.items() if k not in ("messages", "model")}
        used = {"server": server, **({"request": asked} if asked else {})}
        model = str(body["model"])
        self._store.conversations.set_server(self.conversation.id, server, model)
        self._answer = self._store.messages.begin(self.conversation.id, model=model, used=used).id
        self._last = time.monotonic()

    def update(self, progress: "StreamProgress") -> None:
        """Some of the answer has come. A store in trouble does not stop the answer."""
        now = time.monotonic()
        if self._answer is None or self._trouble or now - self._last < CHECKPOINT_SECONDS:
            return
        answer = progress.splitter.answer
        try:
            self._store.messages.checkpoint(self._answer, answer.content or "", answer.reasoning)
        except StoreError as e:
            self._trouble = e
        self._last = time.monotonic()

    def end(self, progress: "StreamProgress", state: MessageState, error: str | None) -> None:
        """The answer has ended. Raises `StoreError` where it could not be stored."""
        assert self._answer is not None
        answer = progress.splitter.answer
        times = {
            "first_token_seconds": progress.first_token,
            "total_seconds": progress.total,
        }
        self._store.messages.finish(
            self._answer,
            state,
            answer.content or "",
            answer.reasoning,
            error=error,
            finish_reason=progress.finish_reason,
            model=progress.model,
            usage=progress.usage,
            timings={k: round(v, 4) for k, v in times.items() if v is not None},
        )
