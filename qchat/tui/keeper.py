"""What the chat keeps: the question before it is asked, the answer as it comes, the draft."""

from typing import Any, Final

from ..store import Message as Stored
from ..store import State as StoreState
from ..store import Store, StoreThread, title_of
from .asking import Ended
from .message import State

Json = dict[str, Any]

_DRAFT: Final = "draft"  # of a conversation that has not begun


class Keeper:
    """One conversation in the store. Every method may raise `StoreError`."""

    def __init__(self, store: Store, conversation: str | None) -> None:
        self.store = store
        self.conversation = conversation
        self._run = StoreThread()
        self._draft = ""
        self._saved = ("", "")

    def load(self) -> list[Stored]:
        """The messages on the path that is shown."""
        if self.conversation is None:
            return []
        nodes = self.store.messages.path(self.conversation)
        return self.store.messages.bodies([node.id for node in nodes])

    def draft(self) -> str:
        """What was being written when the window was left."""
        if self.conversation is None:
            self._draft = self.store.recall(_DRAFT)
        else:
            self._draft = self.store.conversations.get(self.conversation).draft
        return self._draft

    async def question(
        self, text: str, *, system: str | None, server: str | None, model: str | None
    ) -> None:
        """Store a question, and begin a conversation for it where there is none."""
        run, store = self._run, self.store
        if self.conversation is None:
            made = await run(
                store.conversations.create,
                title=title_of(text),
                system=system,
                server=server,
                model=model,
            )
            self.conversation = made.id
            await run(store.remember, _DRAFT, "")
        await run(store.messages.add, self.conversation, "user", text)
        self._draft = ""

    async def questions(self) -> list[str]:
        """Earlier questions, newest first: those of this conversation, then those of all."""
        ask = self.store.messages.questions
        own = [] if self.conversation is None else await self._run(ask, self.conversation)
        return own + await self._run(ask)

    async def again(self) -> int | None:
        """Go back to the last question; returns how many messages stand until there."""
        if self.conversation is None:
            return None
        nodes = await self._run(self.store.messages.path, self.conversation)
        for count in range(len(nodes), 0, -1):
            if nodes[count - 1].role == "user":
                leaf = nodes[count - 1].id
                await self._run(self.store.messages.set_leaf, self.conversation, leaf)
                return count
        return None

    async def begin(self, model: str | None) -> tuple[int, list[Json]]:
        """Begin an answer: its id, and the messages to send."""
        assert self.conversation is not None
        messages = await self._run(self.store.for_api, self.conversation)
        answer = await self._run(self.store.messages.begin, self.conversation, model=model)
        self._saved = ("", "")
        return answer.id, messages

    async def checkpoint(self, answer: int, content: str, reasoning: str) -> None:
        """What has come until now."""
        if (content, reasoning) == self._saved:
            return
        self._saved = (content, reasoning)
        save = self.store.messages.checkpoint
        await self._run(save, answer, content, reasoning or None)

    async def finish(self, answer: int, end: Ended, state: State, thought: float | None) -> None:
        """How the answer ended."""
        timings: Json = {"total_seconds": round(end.total, 4)}
        if end.first_token is not None:
            timings["first_token_seconds"] = round(end.first_token, 4)
        if thought is not None:
            timings["reasoning_seconds"] = round(thought, 4)
        await self._run(
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

    async def keep_draft(self, draft: str) -> None:
        """Keep what is being written, where it has changed."""
        if draft == self._draft:
            return
        self._draft = draft
        if self.conversation is None:
            await self._run(self.store.remember, _DRAFT, draft)
        else:
            await self._run(self.store.conversations.set_draft, self.conversation, draft)

    def close(self) -> None:
        """Wait until all is written."""
        self._run.close()
