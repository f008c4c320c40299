"""The conversation that is shown: the order of storing, asking and drawing.

An answer that is on its way when another conversation is opened goes on in its own.
"""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import QchatError
from ..i18n import _
from ..sanitize import one_line
from .chips import Draft
from .message import Message, State

if TYPE_CHECKING:
    from ..store import Store
    from .answering import Answering
    from .app import ChatApp
    from .asking import Ended
    from .keeper import Keeper, Loaded


class Conversation:
    """What is asked, of whom, and what becomes of the answers; a room of actions.

    `key` is the id in the store of the conversation that is shown, None where it has not begun.
    `unanswered` says that the last question failed. All methods run on the loop of the screen.
    """

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self.key: str | None = None
        self.title = ""
        self.figures: tuple[str, ...] = ()
        self.unanswered = False
        self._keeper: Keeper | None = None
        self._answers: dict[str, Answering] = {}
        self._order = asyncio.Lock()  # storing and asking, or opening another: one at a time
        self._sending = 0

    @property
    def opened(self) -> bool:
        """Whether the store is open; before that nothing can be asked."""
        return self._keeper is not None

    @property
    def keeper(self) -> "Keeper":
        """What keeps it; only where it is `opened`."""
        assert self._keeper is not None
        return self._keeper

    @property
    def answering(self) -> "Answering | None":
        """The answer on its way in the conversation that is shown."""
        return self._answers.get(self.key) if self.key is not None else None

    def answers_in(self, key: str) -> bool:
        """Whether an answer is on its way in this conversation."""
        return key in self._answers

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way here, or about to be."""
        return self.answering is not None or self._sending > 0 or self._order.locked()

    # -- opening ---------------------------------------------------------------------------

    def open(self, store: "Store", key: str | None) -> None:
        """The first one. Raises `StoreError`."""
        from .keeper import Keeper

        keeper = Keeper(store)
        loaded = keeper.load(key)
        self._keeper = keeper
        self._show(loaded, first=True)
        if not self._app.composer.text:
            self._app.composer.draft = Draft.parsed(loaded.draft)

    async def show(
        self, key: str | None, message: int | None = None, words: Sequence[str] = ()
    ) -> None:
        """Show another one (None: a new one); drafts stay with theirs.

        With a `message`, its branch, and the place in it where one of the `words` stands. Raises
        `StoreError`; what was shown then stays.
        """
        if key == self.key and message is None:
            return
        async with self._order:
            await self._load(key, message)
        if message is not None:
            self._app.transcript.go_to_message(message, words)

    async def _load(self, key: str | None, message: int | None) -> None:
        """Read and show it; `_order` is held."""
        if message is not None:
            await self.keeper.run(self.keeper.store.messages.show, message)
        while True:
            before = self._answers.get(key or "")
            loaded = await self.keeper.run(self.keeper.load, key)
            if before is self._answers.get(key or ""):
                break  # else it ended meanwhile, and what was read is not its end
        if key == self.key:
            self._show(loaded)
            return
        draft = self._keep_draft()
        if (left := self.answering) is not None:
            left.at = None
        self._show(loaded)
        self._app.composer.draft = Draft.parsed(loaded.draft)
        if draft is not None:
            await draft

    def _show(self, loaded: "Loaded", *, first: bool = False) -> None:
        from .figures import shown, stored_figures

        record = loaded.record
        self._app.current.take_up(loaded, first=first)
        self.key = record.id if record is not None else None
        self.title = record.title if record is not None else ""
        last = loaded.messages[-1] if loaded.messages else None
        self.figures = stored_figures(last) if last is not None else ()
        self.unanswered = last is not None and last.state == State.ERROR.value
        messages = [shown(stored) for stored in loaded.messages]
        if (coming := self.answering) is not None:
            ids = [message.id for message in messages]
            coming.at = ids.index(coming.answer) if coming.answer in ids else None
            if coming.at is not None:
                messages[coming.at] = coming.message()
        self._app.transcript.load(messages)
        self._app.changed()

    # -- asking ----------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Ask a question of the person's; what was written comes back where that fails."""
        self._sending += 1
        self._app.spawn(self._sent(text))

    async def _sent(self, text: str) -> None:
        try:
            await self.ask(text)
        except QchatError:
            if not self._app.composer.text:
                self._app.composer.write(text)  # what was written is never lost
            raise
        finally:
            self._sending -= 1

    async def ask(self, text: str) -> None:
        """Store a question and ask it. Raises `StoreError`."""
        async with self._order:
            stored = await self.keeper.question(self.key, text, self._app.current.using)
            if self.key is None:
                self.key = stored.conversation
                self.title = one_line(text)
            self._app.transcript.append(Message("user", text, id=stored.id))
            await self._answer(stored.conversation)

    async def retry(self) -> None:
        """Ask the last question again; the answer there was stays in the store as a branch."""
        if self.key is None or self.busy:
            return
        async with self._order:
            count = await self.keeper.again(self.key)
            if count is not None:
                self._app.transcript.truncate(count)
                await self._answer(self.key)

    async def _answer(self, conversation: str) -> None:
        """Ask for an answer to the path that is shown; `_order` is held."""
        from .answering import Answering
        from .asking import Asking, Request

        using = self._app.current.using
        answer, messages = await self.keeper.begin(conversation, using)
        transcript = self._app.transcript
        at = transcript.append(Message("assistant", state=State.STREAMING, id=answer))
        transcript.action_end()
        coming = Answering(conversation, self.title, answer, at)
        self.figures = ()
        self.unanswered = False
        request = Request(using.endpoint, using.model, messages, using.sampling)
        coming.asking = Asking(
            request,
            lambda events: coming.draw(transcript, events),
            lambda end: self._close(coming, end, State.ERROR if end.error else State.COMPLETE),
        )
        self._answers[conversation] = coming
        self._app.changed()

    def _close(self, coming: "Answering", end: "Ended", state: State) -> None:
        from .figures import ended, figures_of, tokens_of

        del self._answers[coming.conversation]
        thought = coming.thought(end)
        self._app.follow(self.keeper.finish(coming.answer, end, state, thought))
        if coming.at is not None:
            self.figures = figures_of(end)
            self._app.current.filled(tokens_of(end.usage))
            self.unanswered = bool(end.error)
            again = self._app.keymap.shown("retry")
            message = replace(ended(end, state, thought, again=again), id=coming.answer)
            self._app.transcript.flush()
            self._app.transcript.replace(coming.at, message)
        elif state is not State.STOPPED:
            text = _("The answer has come: {title}") if not end.error else _("It failed: {title}")
            self._app.say(text.format(title=one_line(coming.title)))
        if end.error:
            self._app.probe.wake()
        self._app.changed()

    def stop(self, key: str | None = None) -> bool:
        """Stop the answer that comes here, or in another conversation; what came is kept.

        False where none comes.
        """
        coming = self._answers.get(key or self.key or "")
        if coming is not None:
            self._close(coming, coming.cut(), State.STOPPED)
        return coming is not None

    def stop_all(self) -> None:
        """Stop the answers everywhere."""
        for coming in list(self._answers.values()):
            self._close(coming, coming.cut(), State.STOPPED)

    def abandon(self) -> None:
        """However the window ends: nothing more is drawn."""
        for coming in self._answers.values():
            coming.asking.stop()

    # -- keeping ---------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Keep what has come and what is written; called every second."""
        for coming in self._answers.values():
            coming.tick(self._app.transcript)
            if (text := coming.unsaved()) is not None:
                self._app.follow(self.keeper.checkpoint(coming.answer, *text))
        if (draft := self._keep_draft()) is not None:
            self._app.follow(draft)

    async def close(self) -> None:
        """Keep the draft, wait until all is written. Raises `StoreError`."""
        if self._keeper is not None:
            try:
                if (draft := self._keep_draft()) is not None:
                    await draft
            finally:
                self._keeper.close()

    def _keep_draft(self) -> "Future[object] | None":
        return self.keeper.keep_draft(self.key, self._app.composer.draft.dumped())

    # -- other actions ---------------------------------------------------------------------

    async def new(self) -> None:
        """A new conversation."""
        await self.show(None)
        self._app.composer.focus()

    async def recall(self) -> None:
        """Walk through earlier questions."""
        self._app.composer.walk(await self.keeper.questions(self.key))
