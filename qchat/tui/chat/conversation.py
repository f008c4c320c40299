"""The conversation that is shown: the order of storing, requesting and drawing.

A pending answer continues in its own conversation when another one is opened.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ...errors import EngineError, QchatError
from ...i18n import _
from ...message_state import MessageState
from ...sanitize import one_line
from ..actions.keymap import Keymap
from ..composer.chips import Draft
from ..servers.monitor import ServerMonitor
from ..transcript.message import Message
from ..transcript.transcript import Transcript
from ..window import StateChanged, Window
from .active_settings import ActiveSettings
from .clipboard_pictures import remove_pictures
from .drafts import Drafts, QueuedMessage
from .events import AnswerCompleted, AnswerEnded, RequestStarted
from .input_hold import InputHold
from .pending_answers import PendingAnswers
from .pictures import pictures_to_send

if TYPE_CHECKING:
    from ...store import Store
    from ..transcript.answer_stats import AnswerResult, KeyHints
    from .pending_answer import PendingAnswer
    from .repository import ConversationRepository, LoadedConversation, StartedAnswer


class Conversation:
    """Sends questions, and shows the answers.

    `id` is that of the store, None where the conversation has not begun. `unanswered`: the last
    question failed. `lock` is held while something is stored and requested, or another
    conversation is opened. All methods run on the window's event loop.
    """

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        transcript: Transcript,
        drafts: Drafts,
        settings: ActiveSettings,
        monitor: ServerMonitor,
    ) -> None:
        self._window = window
        self._keymap = keymap
        self._transcript = transcript
        self._settings = settings
        self._monitor = monitor
        self.id: str | None = None
        self.title = ""
        self.figures: tuple[str, ...] = ()
        self.unanswered = False
        self.drafts = drafts
        self.lock = asyncio.Lock()
        self.input_hold = InputHold()
        self._repository: ConversationRepository | None = None
        self._answers = PendingAnswers(window, transcript, self._answer_finished)
        self._sending = 0
        self._stop_requested = asyncio.Event()  # for what is just being sent

    @property
    def is_open(self) -> bool:
        """Whether the store is open; before that nothing can be sent."""
        return self._repository is not None

    @property
    def repository(self) -> "ConversationRepository":
        """Where it is stored; only while `is_open`."""
        assert self._repository is not None
        return self._repository

    @property
    def pending_answer(self) -> "PendingAnswer | None":
        """The pending answer of the conversation that is shown."""
        return self._answers.get(self.id)

    @property
    def has_pending_answers(self) -> bool:
        """Whether any conversation has a pending answer."""
        return bool(self._answers)

    def is_answering(self, conversation: str) -> bool:
        """Whether this conversation has a pending answer."""
        return self._answers.get(conversation) is not None

    @property
    def busy(self) -> bool:
        """Whether there is a pending answer here, or a request is about to be sent."""
        return self.pending_answer is not None or self._sending > 0 or self.lock.locked()

    def open(self, store: "Store", conversation: str | None) -> None:
        """Show the first conversation. Raises `StoreError`."""
        from .repository import ConversationRepository

        repository = ConversationRepository(store)
        loaded = repository.load(conversation)
        self._repository = repository
        self._show(loaded, first=True)
        self.drafts.restore(loaded.draft)
        self.drafts.set_edited(loaded.edited)

    def show(
        self, conversation: str | None, message: int | None = None, terms: Sequence[str] = ()
    ) -> Coroutine[Any, Any, None]:
        """Show another conversation, None for a new one; drafts stay with theirs.

        With a `message`, show its branch and scroll to the first of the `terms` in it. Raises
        `StoreError`; the conversation that is shown then stays. Input is held from the call on.
        """
        return self.input_hold.until_done(self._show_other(conversation, message, terms))

    async def _show_other(
        self, conversation: str | None, message: int | None, terms: Sequence[str]
    ) -> None:
        if conversation == self.id and message is None:
            return
        async with self.lock:
            await self._load(conversation, message)
        if message is not None:
            self._transcript.go_to_message(message, terms)

    async def _load(self, conversation: str | None, message: int | None) -> None:
        """Read and show a conversation; `lock` is held."""
        repository = self.repository
        if message is not None:
            await repository.run(repository.store.messages.show, message)
        while True:
            pending = self._answers.get(conversation)
            loaded = await repository.run(repository.load, conversation)
            if pending is self._answers.get(conversation):
                break  # else the answer ended meanwhile, and what was read is not its end
        if conversation == self.id:
            self._show(loaded)
            return
        draft, saving = self.drafts.current(), self._save_draft()
        if (hidden := self.pending_answer) is not None:
            hidden.index = None
        self.drafts.queue.clear()  # it is part of the draft that was saved
        self._show(loaded)
        self.drafts.show(loaded.draft, loaded.edited)
        if saving is not None:
            try:
                await saving
            except QchatError:
                self.drafts.restore(draft)
                raise

    async def reload(self) -> None:
        """Show the path as it is stored now; `lock` is held. Raises `StoreError`."""
        await self._load(self.id, None)

    def _show(self, loaded: "LoadedConversation", *, first: bool = False) -> None:
        from ..transcript.answer_stats import message_from_stored, stored_stats

        record = loaded.record
        self._settings.load(self.repository, loaded, first=first)
        self.id = record.id if record is not None else None
        self.title = record.title if record is not None else ""
        last = loaded.messages[-1] if loaded.messages else None
        self.figures = stored_stats(last) if last is not None else ()
        self.unanswered = last is not None and (
            last.role == "user" or last.state is MessageState.ERROR
        )
        hints = self._key_hints
        messages = [
            message_from_stored(stored, loaded.versions.get(stored.id), hints=hints)
            for stored in loaded.messages
        ]
        if (pending := self.pending_answer) is not None:
            ids = [message.id for message in messages]
            pending.index = ids.index(pending.id) if pending.id in ids else None
            if pending.index is not None:
                messages[pending.index] = pending.message()
        self._transcript.load(messages)
        self._notify()

    def _notify(self) -> None:
        self._window.post_message(StateChanged())

    @property
    def _key_hints(self) -> "KeyHints":
        from ..transcript.answer_stats import KeyHints

        names = ("retry", "continue", "edit", "drop", "new")
        return KeyHints(*map(self._keymap.shown, names))

    # -- sending ---------------------------------------------------------------------------

    def send(self, text: str, draft: Draft | None = None) -> None:
        """Send a question; where it can't be stored, its `draft` comes back."""
        self._sending += 1  # at once: a stop may come before the rest
        self._window.spawn(self._send(QueuedMessage(text, draft or Draft(text))))

    @asynccontextmanager
    async def request_lock(self) -> AsyncIterator[None]:
        """Hold `lock` for what ends in a request; until then `stop` prevents the request."""
        self._sending += 1
        try:
            async with self.lock:
                yield
        finally:
            self._sending_ended()

    def _sending_ended(self) -> None:
        self._sending -= 1
        if not self._sending:
            self._stop_requested.clear()

    async def _send(self, question: QueuedMessage) -> None:
        try:
            async with self.lock:
                await self._store(question)
                await self.request_answer(len(self._transcript.messages))
        except Exception:
            self.drafts.unqueue()
            raise
        finally:
            self._sending_ended()
        if (saving := self._save_draft()) is not None:
            await saving  # storing a question empties the draft, which holds the queue

    async def _store(self, question: QueuedMessage) -> None:
        """Store a question after what is shown, and show it; `lock` is held."""
        messages, settings = self._transcript.messages, self._settings.current
        parent = messages[-1].id if messages else None
        try:
            pictures = await pictures_to_send(question.draft, settings.endpoint, settings.model)
            stored, version = await self.repository.add_question(
                self.id, parent, question.text, settings, pictures
            )
        except Exception:
            self.drafts.queue.insert(0, question)  # what was written is never lost
            raise
        remove_pictures(question.draft.chips)
        if self.id is None:
            if (saving := self.repository.save_draft(None, "")) is not None:
                self._window.follow(saving)  # what was written meanwhile is saved with this one
            self.id = stored.conversation
            self.title = one_line(question.text)
            self._settings.conversation_created(self.id, settings)
        message = Message("user", question.text, id=stored.id, version=version)
        self._transcript.append(message._replace(pictures=pictures))
        self._notify()

    # -- requesting answers ----------------------------------------------------------------

    async def request_answer(self, count: int) -> None:
        """Request an answer to the first `count` messages that are shown; `lock` is held.

        The others are removed from the screen. Raises `QchatError`.
        """
        assert self.id is not None
        transcript = self._transcript
        question = transcript.messages[count - 1].id
        assert question is not None
        await self._monitor.wait_for_key(unless=self._stop_requested)
        if self._stop_requested.is_set():
            self.unanswered = True
            self.drafts.unqueue()
            self._notify()
            text = _("Stopped before the request was sent; {key} sends it.")
            self._window.say(text.format(key=self._keymap.shown("retry")))
            return
        started = await self.repository.begin_answer(self.id, question, self._settings.current)
        transcript.truncate(count)
        message = Message("assistant", state=MessageState.STREAMING, id=started.answer)
        index = transcript.append(message._replace(version=started.version))
        self._start(self.id, started, index)

    async def continue_answer(self, answer: int) -> None:
        """Continue the last answer; `lock` is held. Raises `QchatError`."""
        assert self.id is not None
        await self._monitor.wait_for_key(unless=self._stop_requested)
        started = await self.repository.resume_answer(self.id, answer)
        self._start(self.id, started, len(self._transcript.messages) - 1)

    def _start(self, conversation: str, started: "StartedAnswer", index: int) -> None:
        from .pending_answer import PendingAnswer
        from .request_thread import ChatRequest

        self._transcript.action_end()
        self.figures = ()
        self.unanswered = False
        self._window.post_message(RequestStarted())
        settings = self._settings.current
        request = ChatRequest(
            settings.endpoint,
            settings.model,
            started.messages,
            settings.sampling,
            started.prefix,
        )
        answer = PendingAnswer(conversation, self.title, started, index)
        self._answers.start(self.repository, answer, request)
        if started.continued is not None:
            self._transcript.replace(index, answer.message())
        self._notify()
        if self._stop_requested.is_set():
            self.stop()

    def _answer_finished(
        self, answer: "PendingAnswer", result: "AnswerResult", state: MessageState
    ) -> None:
        if answer.index is not None:
            self._draw_result(answer, answer.index, result, state)
        elif state is not MessageState.STOPPED:
            text = _("Answer received: {title}") if not result.error else _("Failed: {title}")
            self._window.say(text.format(title=one_line(answer.title)))
        if state is not MessageState.STOPPED:
            self._window.post_message(AnswerEnded(answer.title, failed=bool(result.error)))
        if result.error:
            self._monitor.wake()
        if answer.conversation == self.id:
            self._send_next(state)
        if state is MessageState.COMPLETE and not self.busy:
            request = answer.request_thread.request
            self._window.post_message(
                AnswerCompleted(answer.conversation, request.endpoint, request.model)
            )
        self._notify()

    def _draw_result(
        self, answer: "PendingAnswer", index: int, result: "AnswerResult", state: MessageState
    ) -> None:
        from ..transcript.answer_stats import message_from_result, result_stats, total_tokens

        self.figures = result_stats(result)
        self._settings.update_usage(total_tokens(result.usage))
        self.unanswered = bool(result.error)
        seconds = answer.reasoning_seconds(result)
        message = message_from_result(result, state, seconds, hints=self._key_hints)
        self._transcript.flush()
        self._transcript.replace(index, message._replace(id=answer.id, version=answer.version))

    def _send_next(self, state: MessageState) -> None:
        """Send the first queued message if the answer is complete, else unqueue all."""
        if state is not MessageState.COMPLETE:
            self.drafts.unqueue()
        elif self.drafts.queue:
            self.send(*self.drafts.queue.pop(0))

    def stop(self, conversation: str | None = None) -> bool:
        """Stop the pending answer here, or of another conversation; what arrived is stored.

        What is just being sent is stored, and no answer requested. False if nothing was stopped.
        """
        if self._answers.stop(conversation or self.id):
            return True
        if self._sending and conversation in (None, self.id):
            self._stop_requested.set()
            return True
        return False

    def stop_all(self) -> None:
        """Stop the pending answers of all conversations."""
        if self._sending:
            self._stop_requested.set()
        self._answers.stop_all()

    def abandon(self) -> None:
        """Close the connections; what is being stored is waited for, nothing more is drawn."""
        self._answers.abandon()
        if self._repository is not None:
            self._repository.close()
            self._repository = None

    def checkpoint(self) -> None:
        """Store what has arrived and what is being written; called every second."""
        if not self.is_open:
            return  # closed
        self._answers.checkpoint()
        if (saving := self._save_draft()) is not None:
            self._window.follow(saving)

    async def close(self) -> None:
        """Wait until all is stored; nothing is stored afterwards.

        Raises `QchatError` where the draft can't be stored; then the conversation stays open.
        """
        if self._repository is None:
            if self.drafts.has_text:
                raise EngineError(_("The stored conversations are still being opened."))
            return
        async with self.lock:  # what was sent before is stored
            if (saving := self._save_draft()) is not None:
                await saving
            self._repository.close()
            self._repository = None

    def _save_draft(self) -> "asyncio.Future[object] | None":
        return self.repository.save_draft(self.id, self.drafts.current().dumped())
