"""The chat on the screen: the transcript, the composer, and what goes between them."""

import gc
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from .. import wire
from ..errors import QchatError
from ..i18n import _
from ..reasoning import ContentDelta, Event, ReasoningDelta, Reclassified
from ..sanitize import one_line
from . import clipboard
from .asking import Asking, Ended, Request
from .chips import Draft
from .choices import Choices
from .composer import Composer
from .figures import ended, figures, shown
from .keys import bindings, help_text
from .message import Message, State
from .start import Start, welcome
from .transcript import Transcript

if TYPE_CHECKING:
    from ..store import Store
    from .keeper import Keeper

_CHECKPOINT_SECONDS = 1.0
_PROBE_SECONDS = 3.0
_QUIT_SECONDS = 2.0


class ChatApp(App[int]):
    """One window on one conversation."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; }
    #status { height: 1; padding: 0 2; color: $text-muted; background: $surface; }
    ToastRack { align: right top; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    def __init__(self, open_store: "Callable[[], Store]", start: Start) -> None:
        """`open_store` is called after the first paint; `failure` then says why it did not work."""
        super().__init__()
        self._start = start
        self._open_store = open_store
        self._keeper: Keeper | None = None
        self.failure: QchatError | None = None
        self._sampling = start.sampling
        self._asking: Asking | None = None
        self._answer_id: int | None = None
        self._answer_at = 0
        self._quit_asked = 0.0
        self._reachable: bool | None = None
        self._figures = ""
        self._before_help: list[Message] | None = None
        self._busy = False

    def compose(self) -> ComposeResult:
        """Transcript, composer, status line."""
        yield Transcript(id="transcript")
        yield Choices()
        yield Composer(id="composer", options=self._start.tui)
        yield Static(id="status", markup=False)

    @property
    def transcript(self) -> Transcript:
        """The conversation as it is shown."""
        return self.query_one(Transcript)

    @property
    def _keep(self) -> "Keeper":
        assert self._keeper is not None
        return self._keeper

    @property
    def composer(self) -> Composer:
        """Where the person writes."""
        return self.query_one(Composer)

    def on_mount(self) -> None:
        """Show what there is; the rest waits for the first paint."""
        self.composer.focus()
        self._show_status()
        self.call_after_refresh(self._after_first_paint)

    def _after_first_paint(self) -> None:
        from .keeper import Keeper

        try:
            store = self._open_store()
            last = store.conversations.last() if self._start.go_on else None
            keep = Keeper(store, last.id if last is not None else None)
            messages, draft = keep.load(), keep.draft()
        except QchatError as e:
            self.failure = e
            self.exit(int(e.exit_code))
            return
        self._keeper = keep
        self.transcript.load([shown(stored) for stored in messages])
        if not self.composer.text:
            self.composer.draft = Draft.parsed(draft)
        if store.notice:
            self.notify(store.notice, severity="warning", markup=False, timeout=15)
        gc.freeze()  # what is loaded by now stays; a collection need not look through it
        self._warm_up()
        self._probe()
        self.set_interval(_PROBE_SECONDS, self._probe_again)
        self.set_interval(_CHECKPOINT_SECONDS, self._checkpoint)
        if self._start.question:
            self._send(self._start.question)

    @work(thread=True)
    def _warm_up(self) -> None:
        from .. import client  # noqa: F401  a second that the first question need not wait for

    # -- the server ------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="probe")
    def _probe(self) -> None:
        found = wire.answers(self._start.endpoint)
        self.call_from_thread(self._probed, found)

    def _probe_again(self) -> None:
        if not self._reachable:
            self._probe()

    def _probed(self, found: bool) -> None:
        before, self._reachable = self._reachable, found
        if before == found:
            return
        if not self.transcript.messages and self._before_help is None:
            self._show_welcome()
        elif found and before is False:
            self.notify(_("The server answers now."), markup=False, timeout=4)
        self._show_status()

    def _show_welcome(self) -> None:
        reachable = bool(self._reachable)
        self.transcript.placeholder = welcome(self._start.endpoint, reachable=reachable)
        self.transcript.refresh()

    def _show_status(self) -> None:
        endpoint = self._start.endpoint
        sign = {None: "…", True: "●", False: "○"}[self._reachable]
        where = endpoint.name or endpoint.base_url
        model = self._start.model or endpoint.model or ""
        thinking = {None: "", True: _("thinking"), False: _("no thinking")}[self._sampling.thinking]
        parts = [f"{sign} {where}", one_line(model), thinking, self._figures]
        if self._asking is not None:
            parts.append(_("Ctrl+C stops"))
        text = Content(" · ".join(part for part in parts if part))
        self.query_one("#status", Static).update(text)

    # -- conversations ---------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.run_worker(coroutine, exit_on_error=True)

    def on_composer_sent(self, event: Composer.Sent) -> None:
        """Enter."""
        self._back_from_help()
        if self._keeper is None:
            return  # it is just being opened; what was written stays
        if self._still_coming():
            return
        self.composer.take()
        self._send(event.text)

    async def on_composer_older(self) -> None:
        """Up at the first line."""
        if self._keeper is None:
            return
        try:
            self.composer.walk(await self._keeper.questions())
        except QchatError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)

    def _still_coming(self) -> bool:
        """Whether an answer is on its way; then that is said."""
        coming = self._asking is not None or self._busy
        if coming:
            self.notify(_("The answer is still coming; Ctrl+C stops it."), markup=False, timeout=3)
        return coming

    def _send(self, text: str) -> None:
        self._busy = True
        self._spawn(self._ask(text))

    async def _ask(self, text: str | None) -> None:
        """Store the question (None: the last one again), and ask."""
        try:
            await self._ask_stored(text)
        except QchatError as e:
            if text and not self.composer.text:
                self.composer.write(text)  # what was written is never lost
            self.notify(str(e), severity="error", markup=False, timeout=10)
        finally:
            self._busy = False

    async def _ask_stored(self, text: str | None) -> None:
        start, keep = self._start, self._keep
        model = start.model or start.endpoint.model
        if text is not None:
            server = start.endpoint.name
            await keep.question(text, system=start.system, server=server, model=model)
            self.transcript.append(Message("user", text))
        else:
            count = await keep.again()
            if count is None:
                return
            self.transcript.truncate(count)
        self._answer_id, messages = await keep.begin(model)
        self._answer_at = self.transcript.append(Message("assistant", state=State.STREAMING))
        self.transcript.action_end()
        self._figures = ""
        request = Request(start.endpoint, model, messages, self._sampling)
        self._asking = Asking(request, self._came, self._ended)
        self._show_status()

    def on_unmount(self) -> None:
        """However the window ends: nothing more is drawn."""
        if self._asking is not None:
            self._asking.stop()

    def _came(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ContentDelta):
                self.transcript.stream(self._answer_at, event.text)
            elif isinstance(event, ReasoningDelta):
                self.transcript.stream(self._answer_at, reasoning=event.text)
            elif isinstance(event, Reclassified):
                shown = Message("assistant", reasoning=event.reasoning, state=State.STREAMING)
                self.transcript.replace(self._answer_at, shown)

    def _checkpoint(self) -> None:
        asking, answer = self._asking, self._answer_id
        if asking is None or answer is None:
            self._spawn(self._told(self._keep.keep_draft(self.composer.draft.dumped())))
            return
        content, reasoning = "".join(asking.content), "".join(asking.reasoning)
        self._spawn(self._told(self._keep.checkpoint(answer, content, reasoning)))

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it; what goes wrong is said, and the chat goes on."""
        try:
            await work
        except QchatError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)

    def _ended(self, end: Ended) -> None:
        self._close_answer(end, State.ERROR if end.error else State.COMPLETE)

    def _close_answer(self, end: Ended, state: State) -> None:
        asking, answer = self._asking, self._answer_id
        if asking is None or answer is None:
            return
        self._asking = self._answer_id = None
        thought = None
        if end.reasoning and asking.first_content is not None:
            thought = asking.first_content - asking.started
        self._figures = figures(end)
        self.transcript.flush()
        self.transcript.replace(self._answer_at, ended(end, state, thought))
        self._spawn(self._told(self._keep.finish(answer, end, state, thought)))
        self._show_status()

    def _stop(self) -> None:
        if (asking := self._asking) is None:
            return
        asking.stop()
        content, reasoning = "".join(asking.content), "".join(asking.reasoning)
        total = time.monotonic() - asking.started
        end = Ended(content, reasoning, None, None, None, None, total)
        self._close_answer(end, State.STOPPED)

    # -- actions ---------------------------------------------------------------------------

    def action_interrupt(self) -> None:
        """Copy what is selected; else stop the answer; else quit, asked twice."""
        selected = self.transcript.selected or self.composer.selected_text
        if selected:
            self._copy(selected)
            self.transcript.action_clear()
        elif self._asking is not None:
            self._stop()
        else:
            now = time.monotonic()
            if now - self._quit_asked < _QUIT_SECONDS:
                self.action_leave()
                return
            self._quit_asked = now
            self.notify(_("Press Ctrl+C again to quit."), markup=False, timeout=_QUIT_SECONDS)

    def action_leave(self) -> None:
        """Quit; what has come and what is written are kept."""
        self._stop()
        self._spawn(self._leave())

    async def _leave(self) -> None:
        if self._keeper is not None:
            await self._told(self._keeper.keep_draft(self.composer.draft.dumped()))
            self._keeper.close()
        self.exit(0)

    def action_new(self) -> None:
        """A new conversation."""
        self._back_from_help()
        if self._keeper is None:
            return  # it is just being opened; what was written stays
        if self._still_coming():
            return
        self._keep.conversation = None
        self.transcript.load([])
        self._figures = ""
        self._show_welcome()
        self._show_status()
        self.composer.focus()

    def action_retry(self) -> None:
        """Ask the last question again; the answer there was stays in the store as a branch."""
        self._back_from_help()
        keep = self._keeper
        if self._asking is None and not self._busy and keep and keep.conversation is not None:
            self._busy = True
            self._spawn(self._ask(None))

    def action_thinking(self) -> None:
        """Think, do not, or as the server likes."""
        following = {None: True, True: False, False: None}[self._sampling.thinking]
        self._sampling = replace(self._sampling, thinking=following)
        self._show_status()

    def action_thought(self) -> None:
        """Fold or unfold."""
        self.transcript.action_thought()

    def action_unfold(self) -> None:
        """Unfold a pasted text."""
        self.composer.unfold()

    def action_page(self, count: int) -> None:
        """Scroll the transcript, wherever the focus is."""
        self.transcript.action_page(count)

    def action_message(self, step: int) -> None:
        """Jump by messages."""
        self.transcript.action_message(step)

    def action_code(self, step: int) -> None:
        """Jump by blocks of code."""
        self.transcript.action_code(step)

    def action_bottom(self) -> None:
        """To the end."""
        self.transcript.action_end()

    def action_copy_code(self) -> None:
        """Copy code."""
        self.transcript.action_copy_code()

    def action_copy_message(self) -> None:
        """Copy an answer."""
        self.transcript.action_copy_message()

    def action_help(self) -> None:
        """The keys in place of the conversation, and back."""
        if self._back_from_help() or self._still_coming():
            return
        self._before_help = self.transcript.messages
        self.transcript.load([Message("assistant", help_text())])
        self.transcript.action_home()

    def _back_from_help(self) -> bool:
        if self._before_help is None:
            return False
        messages, self._before_help = self._before_help, None
        self.transcript.load(messages)
        return True

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        """A key copied something."""
        self._copy(event.text)

    @work(thread=True)
    def _copy(self, text: str) -> None:
        worked, said = clipboard.copy(text, self._write)
        severity = "information" if worked else "error"
        self.call_from_thread(self.notify, said, severity=severity, markup=False, timeout=5)

    def _write(self, sequence: str) -> None:
        driver = self._driver
        if driver is not None:
            self.call_from_thread(driver.write, sequence)
