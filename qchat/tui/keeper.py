"""What the chat keeps: the question before it is asked, the answer as it comes, the draft.

Calls that have no order to wait for begin at once and give a future, so that what was called first
is stored first.
"""

from asyncio import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..store import Conversation, Store, StoreThread, title_of
from ..store import Message as Stored
from ..store import State as StoreState
from .asking import Ended
from .message import State
from .using import Using

Json = dict[str, Any]

_DRAFT: Final = "draft"  # of a conversation that has not begun


@dataclass(frozen=True, slots=True)
class Loaded:
    """A conversation as it stands in the store; `record` None is one that has not begun.

    `versions` says of messages that have siblings which one each is, and of how many.
    """

    record: Conversation | None
    messages: list[Stored]
    draft: str
    versions: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer to ask for: its id, the messages to send, which version it is of how many.

    `before` is the answer that is to be gone on with, where it is not a new one.
    """

    answer: int
    messages: list[Json]
    version: tuple[int, int] | None
    before: Stored | None = None

    @property
    def text(self) -> tuple[str, str]:
        """Content and reasoning of the answer that is gone on with."""
        return (self.before.content, self.before.reasoning or "") if self.before else ("", "")


class Keeper:
    """The store, for one window. Every method, and every future, may raise `StoreError`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run = StoreThread()
        self._drafts: dict[str | None, str] = {}

    def load(self, conversation: str | None) -> Loaded:
        """The messages on the path that is shown, and what was being written."""
        if conversation is None:
            loaded = Loaded(None, [], self.store.recall(_DRAFT))
        else:
            record = self.store.conversations.get(conversation)
            nodes = self.store.messages.path(conversation)
            messages = self.store.messages.bodies([node.id for node in nodes])
            versions = self.store.messages.versions(conversation)
            loaded = Loaded(record, messages, record.draft, versions)
        self._drafts[conversation] = loaded.draft
        return loaded

    async def question(self, conversation: str | None, text: str, using: Using) -> Stored:
        """Store a question, and begin a conversation for it where there is none."""
        run, store = self.run, self.store
        if conversation is None:
            made = await run(
                store.conversations.create,
                title=title_of(text),
                system=using.system,
                server=using.server,
                model=using.model,
                settings=using.settings(),
            )
            await run(store.remember, _DRAFT, "")
            self._drafts[None] = ""
            conversation = made.id
        stored = await run(store.messages.add, conversation, "user", text)
        self._drafts[conversation] = ""
        return stored

    async def questions(self, conversation: str | None) -> list[str]:
        """Earlier questions, newest first: those of this conversation, then those of all."""
        ask = self.store.messages.questions
        own = [] if conversation is None else await self.run(ask, conversation)
        return own + await self.run(ask)

    async def again(self, conversation: str) -> int | None:
        """Go back to the last question; returns how many messages stand until there."""
        nodes = await self.run(self.store.messages.path, conversation)
        for count in range(len(nodes), 0, -1):
            if nodes[count - 1].role == "user":
                leaf = nodes[count - 1].id
                await self.run(self.store.messages.set_leaf, conversation, leaf)
                return count
        return None

    async def begin(self, conversation: str, using: Using) -> Begun:
        """Begin an answer to the path that is shown."""
        messages = await self.run(self.store.for_api, conversation)
        used: Json = {"server": using.endpoint.name or using.endpoint.base_url}
        if asked := using.asked():
            used["request"] = asked
        if using.system:
            used["system"] = using.system
        begin = self.store.messages.begin
        answer = await self.run(begin, conversation, model=using.model, used=used)
        versions = await self.run(self.store.messages.versions, conversation)
        return Begun(answer.id, messages, versions.get(answer.id))

    async def resume(self, conversation: str, answer: int) -> Begun:
        """Begin to go on with the last answer.

        Space at its end is left out: the model writes it again.
        """
        before = await self.run(self.store.messages.resume, answer)
        before = replace(before, content=before.content.rstrip())
        messages = await self.run(self.store.for_api, conversation)
        messages[-1] = before.for_api()
        versions = await self.run(self.store.messages.versions, conversation)
        return Begun(answer, messages, versions.get(answer), before)

    def use(self, conversation: str, using: Using) -> "Future[Conversation]":
        """Keep what the next question is asked with."""
        conversations = self.store.conversations
        self.run(conversations.set_server, conversation, using.server, using.model)
        self.run(conversations.set_system, conversation, using.system)
        return self.run(conversations.set_settings, conversation, using.settings())

    def checkpoint(self, answer: int, content: str, reasoning: str) -> "Future[None]":
        """What has come until now."""
        return self.run(self.store.messages.checkpoint, answer, content, reasoning or None)

    def finish(
        self, answer: int, end: Ended, state: State, thought: float | None
    ) -> "Future[Stored]":
        """How the answer ended."""
        timings: Json = {"total_seconds": round(end.total, 4)}
        if end.first_token is not None:
            timings["first_token_seconds"] = round(end.first_token, 4)
        if thought is not None:
            timings["reasoning_seconds"] = round(thought, 4)
        return self.run(
            self.store.messages.finish,
            answer,
            StoreState(state.value),
            end.content,
            end.reasoning or None,
            error=end.error or None,
            finish_reason=end.finish_reason,
            model=end.model,
            usage=end.usage or {},
            timings=timings,
        )

    def keep_draft(self, conversation: str | None, draft: str) -> "Future[object] | None":
        """Keep what is being written; None where it has not changed."""
        if draft == self._drafts.get(conversation, ""):
            return None
        self._drafts[conversation] = draft
        if conversation is None:
            return self.run(self.store.remember, _DRAFT, draft)
        return self.run(self.store.conversations.set_draft, conversation, draft)

    def close(self) -> None:
        """Wait until all is written."""
        self.run.close()
