"""The conversation that is shown: the order of storing, asking and drawing.

An answer that is on its way when another conversation is opened goes on in its own.
"""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import EngineError, QchatError
from ...i18n import _
from ...sanitize import one_line
from ..composer.chips import Draft
from ..transcript.message import AnswerState, Message
from .message_queue import QueuedMessage, merge_drafts

if TYPE_CHECKING:
    from ...store import Store
    from ..answer_stats import KeyHints
    from ..app import ChatApp
    from .pending_answer import PendingAnswer
    from .repository import ConversationRepository, LoadedConversation, StartedAnswer
    from .request_thread import AnswerResult


class Conversation:
    """What is asked, of whom, and what becomes of the answers; a room of actions.

    `key` is the id in the store of the conversation that is shown, None where it has not begun.
    `unanswered` says that the last question failed. `waiting` is what was sent while the answer
    came. `order` is held while something is stored and asked, or another is opened: one at a time.
    All methods run on the loop of the screen.
    """

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self.key: str | None = None
        self.title = ""
        self.figures: tuple[str, ...] = ()
        self.unanswered = False
        self._keeper: ConversationRepository | None = None
        self._answers: dict[str, PendingAnswer] = {}
        self.waiting: list[QueuedMessage] = []
        self.order = asyncio.Lock()
        self._sending = 0
        self._unwanted = asyncio.Event()  # an answer to what is just being sent

    @property
    def opened(self) -> bool:
        """Whether the store is open; before that nothing can be asked."""
        return self._keeper is not None

    @property
    def keeper(self) -> "ConversationRepository":
        """What keeps it; only where it is `opened`."""
        assert self._keeper is not None
        return self._keeper

    @property
    def answering(self) -> "PendingAnswer | None":
        """The answer on its way in the conversation that is shown."""
        return self._answers.get(self.key) if self.key is not None else None

    @property
    def answers(self) -> bool:
        """Whether an answer is on its way anywhere."""
        return bool(self._answers)

    def answers_in(self, key: str) -> bool:
        """Whether an answer is on its way in this conversation."""
        return key in self._answers

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way here, or about to be."""
        return self.answering is not None or self._sending > 0 or self.order.locked()

    # -- opening ---------------------------------------------------------------------------

    def open(self, store: "Store", key: str | None) -> None:
        """The first one. Raises `StoreError`."""
        from .repository import ConversationRepository

        keeper = ConversationRepository(store)
        loaded = keeper.load(key)
        self._keeper = keeper
        self._show(loaded, first=True)
        self.put_back(loaded.draft)
        self._app.talk.take_up(loaded.edited)

    async def show(
        self, key: str | None, message: int | None = None, words: Sequence[str] = ()
    ) -> None:
        """Show another one (None: a new one); drafts stay with theirs.

        With a `message`, its branch, and the place in it where one of the `words` stands. Raises
        `StoreError`; what was shown then stays.
        """
        if key == self.key and message is None:
            return
        async with self.order:
            await self._load(key, message)
        if message is not None:
            self._app.transcript.go_to_message(message, words)

    async def _load(self, key: str | None, message: int | None) -> None:
        """Read and show it; `order` is held."""
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
        draft, kept = self._draft, self._keep_draft()
        if (left := self.answering) is not None:
            left.at = None
        self.waiting.clear()  # it stands in the draft that was kept
        self._show(loaded)
        self._app.composer.draft = loaded.draft
        self._app.talk.take_up(loaded.edited)
        if kept is not None:
            try:
                await kept
            except QchatError:
                self.put_back(draft)
                raise

    async def read_again(self) -> None:
        """Show the path as it is in the store now; `order` is held. Raises `StoreError`."""
        await self._load(self.key, None)

    def _show(self, loaded: "LoadedConversation", *, first: bool = False) -> None:
        from ..answer_stats import message_from_stored, stored_stats

        record = loaded.record
        self._app.current.take_up(loaded, first=first)
        self.key = record.id if record is not None else None
        self.title = record.title if record is not None else ""
        last = loaded.messages[-1] if loaded.messages else None
        self.figures = stored_stats(last) if last is not None else ()
        self.unanswered = last is not None and (
            last.role == "user" or last.state == AnswerState.ERROR.value
        )
        ways = self._ways
        messages = [
            message_from_stored(stored, loaded.versions.get(stored.id), ways=ways)
            for stored in loaded.messages
        ]
        if (coming := self.answering) is not None:
            ids = [message.id for message in messages]
            coming.at = ids.index(coming.answer) if coming.answer in ids else None
            if coming.at is not None:
                messages[coming.at] = coming.message()
        self._app.transcript.load(messages)
        self._app.changed()

    @property
    def _ways(self) -> "KeyHints":
        from ..answer_stats import KeyHints

        message_from_stored = self._app.keymap.shown
        return KeyHints(*map(message_from_stored, ("retry", "continue", "edit", "drop", "new")))

    # -- asking ----------------------------------------------------------------------------

    def send(self, text: str, draft: Draft | None = None) -> None:
        """Ask a question of the person's; where it can't be kept, its `draft` comes back."""
        self._sending += 1  # at once: a stop may come before the rest
        self._app.spawn(self._send(QueuedMessage(text, draft or Draft(text))))

    @asynccontextmanager
    async def asks(self) -> AsyncIterator[None]:
        """`order`, for what ends in an answer being asked for; meanwhile `stop` prevents that."""
        self._sending += 1
        try:
            async with self.order:
                yield
        finally:
            self._sent()

    def _sent(self) -> None:
        self._sending -= 1
        if not self._sending:
            self._unwanted.clear()

    async def _send(self, asked: QueuedMessage) -> None:
        try:
            async with self.order:
                await self._store(asked)
                await self.answer(len(self._app.transcript.messages))
        except Exception:
            self.unqueue()
            raise
        finally:
            self._sent()
        if (draft := self._keep_draft()) is not None:
            await draft  # storing a question empties the draft, in which the others stand

    async def _store(self, asked: QueuedMessage) -> None:
        """Store a question behind what is shown, and show it; `order` is held."""
        message_from_stored = self._app.transcript.messages
        parent, using = (
            message_from_stored[-1].id if message_from_stored else None,
            self._app.current.using,
        )
        try:
            stored, version = await self.keeper.question(self.key, parent, asked.text, using)
        except Exception:
            self.waiting.insert(0, asked)  # what was written is never lost
            raise
        if self.key is None:
            if (draft := self.keeper.keep_draft(None, "")) is not None:
                self._app.follow(draft)  # what was written meanwhile goes on in here
            self.key = stored.conversation
            self.title = one_line(asked.text)
            self._app.current.begun(using)
        self._app.transcript.append(Message("user", asked.text, id=stored.id, version=version))

    def queue(self, text: str, draft: Draft) -> None:
        """Ask it when the answer that comes has ended."""
        self.waiting.append(QueuedMessage(text, draft))
        self._app.changed()

    def unqueue(self) -> None:
        """What waits goes back into the field, before what stands there."""
        if self.waiting:
            self._app.composer.draft = self._draft
            self.waiting.clear()
            self._app.changed()
            self._app.composer.focus()

    def put_back(self, draft: Draft) -> None:
        """Into the field, before what stands there."""
        if draft.text:
            composer = self._app.composer
            composer.draft = merge_drafts([QueuedMessage(draft.text, draft)], composer.unsent)

    async def retry(self) -> None:
        """Ask the last question again; the answer there was stays in the store as a branch."""
        if self.key is None or self.busy:
            return
        async with self.asks():
            message_from_stored = self._app.transcript.messages
            questions = [
                at for at, message in enumerate(message_from_stored) if message.role == "user"
            ]
            if questions:
                await self.answer(questions[-1] + 1)

    async def answer(self, count: int) -> None:
        """Ask for an answer to the first `count` messages that are shown; `order` is held.

        The others go. Raises `QchatError`.
        """
        assert self.key is not None
        transcript = self._app.transcript
        question = transcript.messages[count - 1].id
        assert question is not None
        await self._app.probe.key_looked_for(unless=self._unwanted)
        if self._unwanted.is_set():
            self.unanswered = True
            self.unqueue()
            self._app.changed()
            text = _("Stopped before it was asked; {key} asks it.")
            self._app.say(text.format(key=self._app.keymap.shown("retry")))
            return
        begun = await self.keeper.begin(self.key, question, self._app.current.using)
        transcript.truncate(count)
        message = Message("assistant", state=AnswerState.STREAMING, id=begun.answer)
        at = transcript.append(replace(message, version=begun.version))
        self._ask(self.key, begun, at)
        if self._unwanted.is_set():
            self.stop()

    async def go_on(self, answer: int) -> None:
        """Go on with the last answer; `order` is held. Raises `QchatError`."""
        assert self.key is not None
        await self._app.probe.key_looked_for(unless=self._unwanted)
        begun = await self.keeper.resume(self.key, answer)
        transcript = self._app.transcript
        at = len(transcript.messages) - 1
        transcript.replace(at, self._ask(self.key, begun, at).message())
        if self._unwanted.is_set():
            self.stop()

    def _ask(self, conversation: str, begun: "StartedAnswer", at: int) -> "PendingAnswer":
        from .pending_answer import PendingAnswer
        from .request_thread import ChatRequest, RequestThread

        transcript = self._app.transcript
        transcript.action_end()
        coming = PendingAnswer(conversation, self.title, begun, at)
        self.figures = ()
        self.unanswered = False
        self._app.titles.stop()
        using = self._app.current.using
        request = ChatRequest(
            using.endpoint, using.model, begun.messages, using.sampling, begun.text
        )
        coming.asking = RequestThread(
            request,
            lambda events: coming.draw(transcript, events),
            lambda end: self._close(
                coming, end, AnswerState.ERROR if end.error else AnswerState.COMPLETE
            ),
        )
        self._answers[conversation] = coming
        self._app.changed()
        return coming

    def _close(self, coming: "PendingAnswer", end: "AnswerResult", state: AnswerState) -> None:
        from ..answer_stats import message_from_result, result_stats, tokens_of

        del self._answers[coming.conversation]
        thought = coming.thought(end)
        self._app.follow(self.keeper.finish(coming.answer, end, state, thought))
        if coming.at is not None:
            self.figures = result_stats(end)
            self._app.current.filled(tokens_of(end.usage))
            self.unanswered = bool(end.error)
            message = replace(
                message_from_result(end, state, thought, ways=self._ways),
                id=coming.answer,
                version=coming.version,
            )
            self._app.transcript.flush()
            self._app.transcript.replace(coming.at, message)
        elif state is not AnswerState.STOPPED:
            text = _("The answer has come: {title}") if not end.error else _("It failed: {title}")
            self._app.say(text.format(title=one_line(coming.title)))
        if end.error:
            self._app.probe.wake()
        if coming.conversation == self.key:
            self._after(state)
        if state is AnswerState.COMPLETE and not self.busy:
            request = coming.asking.request
            give = self._app.titles.give(coming.conversation, request.endpoint, request.model)
            self._app.spawn(give)
        self._app.changed()

    def _after(self, state: AnswerState) -> None:
        """What waits for the answer that is shown is asked now, if that went well."""
        if state is not AnswerState.COMPLETE:
            self.unqueue()
        elif self.waiting:
            self.send(*self.waiting.pop(0))

    def stop(self, key: str | None = None) -> bool:
        """Stop the answer that comes here, or in another conversation; what came is kept.

        What is just being sent is kept, and not answered. False where there is nothing to stop.
        """
        coming = self._answers.get(key or self.key or "")
        if coming is not None:
            self._close(coming, coming.cut(), AnswerState.STOPPED)
        elif self._sending and key in (None, self.key):
            self._unwanted.set()
        else:
            return False
        return True

    def stop_all(self) -> None:
        """Stop the answers everywhere."""
        if self._sending:
            self._unwanted.set()
        for coming in list(self._answers.values()):
            self._close(coming, coming.cut(), AnswerState.STOPPED)

    def abandon(self) -> None:
        """However the window ends: nothing more is drawn."""
        self._app.titles.stop()
        for coming in self._answers.values():
            coming.asking.stop()

    # -- keeping ---------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Keep what has come and what is written; called every second."""
        if not self.opened:
            return  # no longer
        for coming in self._answers.values():
            coming.tick(self._app.transcript)
            if (text := coming.unsaved()) is not None:
                self._app.follow(self.keeper.checkpoint(coming.answer, *text))
        if (draft := self._keep_draft()) is not None:
            self._app.follow(draft)

    async def close(self) -> None:
        """Wait until all is written, then nothing more is.

        Raises `QchatError` where the draft can't be kept; then it goes on.
        """
        if self._keeper is None:
            if self._app.composer.text:
                raise EngineError(_("The stored conversations are still being opened."))
            return
        async with self.order:  # what was sent before is stored
            if (draft := self._keep_draft()) is not None:
                await draft
            self._keeper.close()
            self._keeper = None

    @property
    def _draft(self) -> Draft:
        """What waits, and what is being written."""
        draft = merge_drafts(self.waiting, self._app.composer.unsent)
        return draft._replace(edits=self._app.talk.edited) if draft.text.strip() else draft

    def _keep_draft(self) -> "Future[object] | None":
        return self.keeper.keep_draft(self.key, self._draft.dumped())

    # -- other actions ---------------------------------------------------------------------

    async def new(self) -> None:
        """A new conversation."""
        await self.show(None)
        self._app.composer.focus()

    async def write_elsewhere(self) -> None:
        """Go on writing in the person's own editor, in the conversation that was asked for last."""
        async with self.order:
            self._app.composer.write_elsewhere()

    async def recall(self) -> None:
        """Walk through earlier questions."""
        self._app.composer.walk(await self.keeper.questions(self.key))
