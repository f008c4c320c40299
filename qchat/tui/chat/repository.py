"""What the chat stores: questions before they are sent, answers as they arrive, drafts.

Calls are queued at once and return a future, so that they are executed in the order of the calls.
"""

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...content_parts import content_parts
from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...message_state import MessageState
from ...store import AnswerRecorder, Store, StoredConversation, StoreThread
from ...store import StoredMessage as Stored
from ..composer.chips import Draft
from ..request_settings import RequestSettings
from ..transcript.answer_stats import AnswerResult
from ..transcript.pictures import picture_urls

Version = tuple[int, int]

_DRAFT: Final = "draft"  # of a conversation that has not begun


@dataclass(frozen=True, slots=True)
class LoadedConversation:
    """A conversation as stored; `record` is None where it has not begun.

    `versions` maps messages with siblings to (number, count); `edited` is the message of which the
    draft is a new version.
    """

    record: StoredConversation | None
    messages: list[Stored]
    draft: Draft
    versions: dict[int, Version] = field(default_factory=dict)
    edited: Stored | None = None


@dataclass(frozen=True, slots=True)
class StartedAnswer:
    """An answer to request: its id, the messages to send, its version number and their count.

    `continued` is the stored answer that is to be continued, None for a new one.
    """

    answer: int
    messages: list[JsonObject]
    version: Version | None
    continued: Stored | None = None

    @property
    def prefix(self) -> tuple[str, str]:
        """Content and reasoning with which the answer begins."""
        stored = self.continued
        return (stored.content, stored.reasoning or "") if stored is not None else ("", "")


class ConversationRepository:
    """The store, for one window. Every method, and every future, may raise `StoreError`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run = StoreThread()
        self._recorder = AnswerRecorder(store)
        self._drafts: dict[str | None, str | None] = {}  # None: unknown what is stored

    def load(self, conversation: str | None) -> LoadedConversation:
        """Read the messages on the current path, and the draft."""
        if conversation is None:
            self._drafts[None] = draft_text = self.store.recall(_DRAFT)
            return LoadedConversation(None, [], Draft.parsed(draft_text))
        record = self.store.conversations.get(conversation)
        nodes = self.store.messages.path(conversation)
        messages = self.store.messages.bodies([node.id for node in nodes])
        versions = self.store.messages.versions(conversation)
        self._drafts[conversation] = record.draft
        draft = Draft.parsed(record.draft)
        return LoadedConversation(
            record, messages, draft, versions, self._edited(conversation, draft)
        )

    def _edited(self, conversation: str, draft: Draft) -> Stored | None:
        if draft.edits is None:
            return None
        messages = self.store.messages  # an imported draft may name any number
        ids = (node.id for node in messages.tree(conversation) if node.id == draft.edits)
        return next((messages.get(id_) for id_ in ids), None)

    def add_question(
        self,
        conversation: str | None,
        parent: int | None,
        text: str,
        settings: RequestSettings,
        pictures: Sequence[str] = (),
    ) -> "Future[tuple[Stored, Version | None]]":
        """Store a question after `parent`, with pictures by their URLs; create the conversation
        where there is none.

        Its draft is cleared. Raises `UsageError` where the conversation was deleted.
        """
        self._drafts[conversation] = ""
        return self.run(self._add_question, conversation, parent, text, settings, pictures)

    def _add_question(
        self,
        conversation: str | None,
        parent: int | None,
        text: str,
        settings: RequestSettings,
        pictures: Sequence[str],
    ) -> tuple[Stored, Version | None]:
        store = self.store
        extra = {"content": content_parts(text, pictures)} if pictures else None
        if conversation is not None:
            self._check(conversation)
            stored = self._recorder.add_question(conversation, text, parent=parent, extra=extra)
            return stored, store.messages.versions(conversation).get(stored.id)
        with store.together():  # else a question that fails would leave an empty conversation
            stored = self._recorder.add_conversation(
                text,
                system=settings.system,
                server=settings.server,
                model=settings.model,
                settings=settings.settings(),
                extra=extra,
            )
            store.remember(_DRAFT, "")
        return stored, None

    def _check(self, conversation: str) -> None:
        if self.store.conversations.get(conversation).deleted is not None:
            text = _(
                "This conversation was deleted elsewhere. To bring it back: "
                "qchat chats restore {id}"
            )
            raise UsageError(text.format(id=conversation))

    async def questions(self, conversation: str | None) -> list[str]:
        """Earlier questions, newest first: those of this conversation, then those of all."""
        read = self.store.messages.questions
        own = [] if conversation is None else await self.run(read, conversation)
        return own + await self.run(read)

    def add_version(self, old: Stored, text: str) -> "Future[Stored]":
        """Store a new version of a message. Raises `UsageError` as `add_question` does."""
        return self.run(self._add_version, old, text)

    def _add_version(self, old: Stored, text: str) -> Stored:
        self._check(old.conversation)
        return self.store.messages.add(
            old.conversation,
            old.role,
            text,
            parent=old.parent,
            reasoning=old.reasoning,
            model=old.model,
            extra=_with_text(old, text),
        )

    def begin_answer(
        self, conversation: str, question: int, settings: RequestSettings
    ) -> "Future[StartedAnswer]":
        """Store the beginning of an answer to a question. Raises `UsageError` where the
        conversation was deleted.
        """
        return self.run(self._begin_answer, conversation, question, settings)

    def _begin_answer(
        self, conversation: str, question: int, settings: RequestSettings
    ) -> StartedAnswer:
        self._check(conversation)
        store = self.store
        messages = store.for_api(conversation, question)
        answer = self._recorder.begin(
            conversation,
            parent=question,
            server=settings.endpoint.name or settings.endpoint.base_url,
            model=settings.model,
            system=settings.system,
            parameters=settings.request_parameters(),
        )
        version = store.messages.versions(conversation).get(answer.id)
        return StartedAnswer(answer.id, messages, version)

    def resume_answer(self, conversation: str, answer: int) -> "Future[StartedAnswer]":
        """Reopen the last answer, to be continued.

        Trailing whitespace is removed: the model writes it again. Raises `UsageError` where the
        conversation was deleted.
        """
        return self.run(self._resume_answer, conversation, answer)

    def _resume_answer(self, conversation: str, answer: int) -> StartedAnswer:
        self._check(conversation)
        stored = self.store.messages.resume(answer)
        stored = replace(stored, content=stored.content.rstrip())
        messages = self.store.for_api(conversation, answer)
        messages[-1] = stored.for_api()
        return StartedAnswer(
            answer, messages, self.store.messages.versions(conversation).get(answer), stored
        )

    def save_settings(
        self, conversation: str, settings: RequestSettings
    ) -> "Future[StoredConversation]":
        """Store the settings of the next request."""
        conversations = self.store.conversations
        self.run(conversations.set_server, conversation, settings.server, settings.model)
        self.run(conversations.set_system, conversation, settings.system)
        return self.run(conversations.set_settings, conversation, settings.settings())

    def checkpoint(self, answer: int, content: str, reasoning: str) -> "Future[None]":
        """Store what has arrived so far."""
        return self.run(self._recorder.checkpoint, answer, content, reasoning)

    def finish_answer(
        self,
        answer: int,
        result: AnswerResult,
        state: MessageState,
        reasoning_seconds: float | None,
    ) -> "Future[Stored]":
        """Store how the answer ended."""
        return self.run(
            self._recorder.finish,
            answer,
            state,
            result.content,
            result.reasoning,
            error=result.error,
            finish_reason=result.finish_reason,
            model=result.model,
            usage=result.usage,
            first_token=result.first_token,
            total=result.total,
            reasoning_seconds=reasoning_seconds,
        )

    def save_draft(self, conversation: str | None, draft: str) -> "Future[object] | None":
        """Store the draft; None where it has not changed since it was stored."""
        if draft == self._drafts.get(conversation, ""):
            return None
        self._drafts[conversation] = draft
        saving: Future[Any]
        if conversation is None:
            saving = self.run(self.store.remember, _DRAFT, draft)
        else:
            saving = self.run(self.store.conversations.set_draft, conversation, draft)

        def check(future: "Future[Any]") -> None:
            if self._drafts[conversation] == draft and (future.cancelled() or future.exception()):
                self._drafts[conversation] = None  # stored again by the next call

        saving.add_done_callback(check)
        return saving

    def close(self) -> None:
        """Wait until all calls are executed."""
        self.run.close()


def _with_text(old: Stored, text: str) -> JsonObject | None:
    """What belongs to another version of a message: the pictures of the old one."""
    pictures = picture_urls(old.extra)
    return {"content": content_parts(text, pictures)} if pictures else None
