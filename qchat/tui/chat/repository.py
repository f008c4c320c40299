"""What the chat keeps: the question before it is asked, the answer as it comes, the draft.

Calls that have no order to wait for begin at once and give a future, so that what was called first
is stored first.
"""

from asyncio import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...store import AnswerRecorder, Store, StoredConversation, StoreThread
from ...store import MessageState as StoreState
from ...store import StoredMessage as Stored
from ..composer.chips import Draft
from ..request_settings import RequestSettings
from ..transcript.message import AnswerState
from .request_thread import AnswerResult

Version = tuple[int, int]

_DRAFT: Final = "draft"  # of a conversation that has not begun


@dataclass(frozen=True, slots=True)
class LoadedConversation:
    """A conversation as it stands in the store; `record` None is one that has not begun.

    `versions` says of messages that have siblings which one each is, and of how many; `edited` is
    the message of which the draft is another version.
    """

    record: StoredConversation | None
    messages: list[Stored]
    draft: Draft
    versions: dict[int, Version] = field(default_factory=dict)
    edited: Stored | None = None


@dataclass(frozen=True, slots=True)
class StartedAnswer:
    """An answer to ask for: its id, the messages to send, which version it is of how many.

    `before` is the answer that is to be gone on with, where it is not a new one.
    """

    answer: int
    messages: list[JsonObject]
    version: Version | None
    before: Stored | None = None

    @property
    def text(self) -> tuple[str, str]:
        """Content and reasoning of the answer that is gone on with."""
        return (self.before.content, self.before.reasoning or "") if self.before else ("", "")


class ConversationRepository:
    """The store, for one window. Every method, and every future, may raise `StoreError`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run = StoreThread()
        self._recorder = AnswerRecorder(store)
        self._drafts: dict[str | None, str | None] = {}  # None: it is not known what is stored

    def load(self, conversation: str | None) -> LoadedConversation:
        """The messages on the path that is shown, and what was being written."""
        if conversation is None:
            self._drafts[None] = written = self.store.recall(_DRAFT)
            return LoadedConversation(None, [], Draft.parsed(written))
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
        messages = self.store.messages  # what was imported may name any
        found = (node.id for node in messages.tree(conversation) if node.id == draft.edits)
        return next((messages.get(number) for number in found), None)

    def question(
        self, conversation: str | None, parent: int | None, text: str, using: RequestSettings
    ) -> "Future[tuple[Stored, Version | None]]":
        """Store a question behind `parent`, and begin a conversation for it where there is none.

        Its draft is emptied. Raises `UsageError` where the conversation was deleted.
        """
        self._drafts[conversation] = ""
        return self.run(self._question, conversation, parent, text, using)

    def _question(
        self, conversation: str | None, parent: int | None, text: str, using: RequestSettings
    ) -> tuple[Stored, Version | None]:
        store = self.store
        if conversation is not None:
            self._check(conversation)
            stored = self._recorder.add_question(conversation, text, parent=parent)
            return stored, store.messages.versions(conversation).get(stored.id)
        with store.together():  # else a question that fails would leave an empty conversation
            stored = self._recorder.add_conversation(
                text,
                system=using.system,
                server=using.server,
                model=using.model,
                settings=using.settings(),
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
        ask = self.store.messages.questions
        own = [] if conversation is None else await self.run(ask, conversation)
        return own + await self.run(ask)

    def another(self, old: Stored, text: str) -> "Future[Stored]":
        """Store another version of a message. Raises `UsageError` as `question` does."""
        return self.run(self._another, old, text)

    def _another(self, old: Stored, text: str) -> Stored:
        self._check(old.conversation)
        return self.store.messages.add(
            old.conversation,
            old.role,
            text,
            parent=old.parent,
            reasoning=old.reasoning,
            model=old.model,
        )

    def begin(
        self, conversation: str, question: int, using: RequestSettings
    ) -> "Future[StartedAnswer]":
        """Begin an answer to a question, whatever is shown in another window.

        Raises `UsageError` where the conversation was deleted.
        """
        return self.run(self._begin, conversation, question, using)

    def _begin(self, conversation: str, question: int, using: RequestSettings) -> StartedAnswer:
        self._check(conversation)
        store = self.store
        messages = store.for_api(conversation, question)
        answer = self._recorder.begin(
            conversation,
            parent=question,
            server=using.endpoint.name or using.endpoint.base_url,
            model=using.model,
            system=using.system,
            parameters=using.asked(),
        )
        version = store.messages.versions(conversation).get(answer.id)
        return StartedAnswer(answer.id, messages, version)

    def resume(self, conversation: str, answer: int) -> "Future[StartedAnswer]":
        """Begin to go on with the last answer.

        Space at its end is left out: the model writes it again. Raises `UsageError` where the
        conversation was deleted.
        """
        return self.run(self._resume, conversation, answer)

    def _resume(self, conversation: str, answer: int) -> StartedAnswer:
        self._check(conversation)
        before = self.store.messages.resume(answer)
        before = replace(before, content=before.content.rstrip())
        messages = self.store.for_api(conversation, answer)
        messages[-1] = before.for_api()
        return StartedAnswer(
            answer, messages, self.store.messages.versions(conversation).get(answer), before
        )

    def use(self, conversation: str, using: RequestSettings) -> "Future[StoredConversation]":
        """Keep what the next question is asked with."""
        conversations = self.store.conversations
        self.run(conversations.set_server, conversation, using.server, using.model)
        self.run(conversations.set_system, conversation, using.system)
        return self.run(conversations.set_settings, conversation, using.settings())

    def checkpoint(self, answer: int, content: str, reasoning: str) -> "Future[None]":
        """What has come until now."""
        return self.run(self._recorder.checkpoint, answer, content, reasoning)

    def finish(
        self, answer: int, end: AnswerResult, state: AnswerState, thought: float | None
    ) -> "Future[Stored]":
        """How the answer ended."""
        return self.run(
            self._recorder.finish,
            answer,
            StoreState(state.value),
            end.content,
            end.reasoning,
            error=end.error,
            finish_reason=end.finish_reason,
            model=end.model,
            usage=end.usage,
            first_token=end.first_token,
            total=end.total,
            reasoning_seconds=thought,
        )

    def keep_draft(self, conversation: str | None, draft: str) -> "Future[object] | None":
        """Keep what is being written; None where it has not changed since it was kept."""
        if draft == self._drafts.get(conversation, ""):
            return None
        self._drafts[conversation] = draft
        kept: Future[Any]
        if conversation is None:
            kept = self.run(self.store.remember, _DRAFT, draft)
        else:
            kept = self.run(self.store.conversations.set_draft, conversation, draft)

        def look(done: "Future[Any]") -> None:
            if self._drafts[conversation] == draft and (done.cancelled() or done.exception()):
                self._drafts[conversation] = None  # it is kept when it is asked for again

        kept.add_done_callback(look)
        return kept

    def close(self) -> None:
        """Wait until all is written."""
        self.run.close()
