"""The window of the chat: layout, messages of the parts, dispatch of actions, error reports."""

import asyncio
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from ..errors import Exit, QchatError
from ..i18n import _, sentence_gap
from .action_handlers import ActionHandler, action_handlers
from .actions.action import Action
from .actions.keymap import Keymap
from .actions.table import ACTIONS
from .attention import Attention
from .chat.events import AnswerCompleted, AnswerEnded, RequestStarted
from .column import ColumnResized
from .composer.chip_text_area import ChipTextArea
from .composer.chips import paste_note
from .composer.composer import Composer
from .garbage_collection import GarbageCollection
from .launch import LaunchOptions
from .parts import ChatParts, import_for_first_answer
from .servers.monitor import ServerMonitor
from .state_view import LOW, StateView
from .terminal import redraw, suspend
from .themed_app import ThemedApp
from .threads import run_in_daemon_thread
from .transcript.transcript import Transcript
from .whole_characters import keep_whole
from .window import StateChanged
from .without_text import WithoutText

if TYPE_CHECKING:
    from ..store import Store
    from .chat.titles import TitleGenerator
    from .widgets.sidebar import Sidebar
    from .widgets.welcome import Welcome

_CHECKPOINT_SECONDS = 1.0


class ChatScreen(Screen[None]):
    """The screen of the conversation. The composer has the focus before the first paint: to move
    it there from another widget would style both anew."""

    AUTO_FOCUS = "Composer"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        keep_whole(self)


class ChatApp(ThemedApp, inherit_bindings=False):
    """The window: shows one conversation at a time.

    `parts` are what it is made of.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; layers: default over; }
    ToastRack { dock: top; align: right top; max-height: 40vh; }
    ModalScreen ToastRack { dock: bottom; align: right bottom; margin-bottom: 0; }
    Toast { max-width: 80%; max-height: 35vh; padding: 0 1; }
    #writing { height: auto; }
    .-low TitleBar { display: none; }
    .-low Composer, .-low Composer:focus { border: none; padding: 0 0 0 2; max-height: 5; }
    """

    def __init__(
        self, open_store: "Callable[[], Store]", start: LaunchOptions, keymap: Keymap | None = None
    ) -> None:
        """`open_store` is called after the first paint, in a thread."""
        super().__init__()
        self._start = start
        self._open_store = open_store
        self.keymap = keymap or Keymap()
        self._open_failure: QchatError | None = None
        self.parts = ChatParts(
            self,
            start,
            self.keymap,
            perform=self._perform_next,
            is_blocked=self._is_blocked,
            write=self._write_to_terminal,
            edit_text=self._edit_text,
            submit=self._submit,
        )
        self.transcript = self.parts.transcript
        self.transcript.is_line_busy = self.questions.is_behind
        self.composer = self.parts.composer
        self.conversation = self.parts.conversation
        self.state_view = StateView(self, self.parts, self.keymap, start)
        self.handlers = {
            **action_handlers(self.parts),
            "suspend": ActionHandler(lambda _: suspend(self)),
            "redraw": ActionHandler(lambda _: redraw(self)),
            "palette": ActionHandler(lambda _: self._show_palette()),
            "theme": ActionHandler(self.choose_theme),
            "help": ActionHandler(lambda _: self._toggle_help()),
        }
        self._collector = GarbageCollection()
        self._attention = Attention(
            self.write_sequence, lambda: self.app_focus, os.environ, enabled=start.tui.notify
        )
        self._submitted_early = False
        self.use_first_theme(start.settings, start.tui.theme)
        for binding in self.keymap.bindings():
            self._bindings.bind(binding.key, binding.action, priority=True)

    @property
    def is_closing(self) -> bool:
        """Whether the window is being closed."""
        return self.parts.quit_handler.closing

    @property
    def failure(self) -> QchatError | None:
        """Why the store could not be opened, or the draft not be stored."""
        return self._open_failure or self.parts.quit_handler.failure

    def use_emoji_width(self, cells: int) -> None:
        """Draw such emoji as wide as the terminal does."""
        self.transcript.set_narrow_emoji(cells == 1)

    # -- opening and closing ---------------------------------------------------------------

    def get_default_screen(self) -> ChatScreen:
        """The screen of the conversation."""
        return ChatScreen(id="_default")

    def compose(self) -> ComposeResult:
        """The column of the conversation; the sidebar is mounted when the store is open."""
        self._fit_height(self.size.height)
        self.state_view.fit(self.size.width)
        yield self.parts.title_bar
        yield self.transcript
        yield self.parts.writing_area

    def on_mount(self) -> None:
        """Open the store after the first paint."""
        self.state_view.show_edges()
        asyncio.get_running_loop().set_exception_handler(self._report_callback_error)
        self.call_after_refresh(lambda: self.spawn(self._open()))

    async def _open(self) -> None:
        try:
            # In a thread: another process may hold the lock for seconds.
            store = await run_in_daemon_thread(self._open_store)
            last = store.conversations.last() if self._start.go_on else None
            self.conversation.open(store, last.id if last is not None else None)
        except QchatError as e:
            self._open_failure = e
            self.exit(int(e.exit_code))
            return
        except Exception:
            self.exit(int(Exit.ENGINE))
            raise
        if store.notice:
            self.notify(store.notice, severity="warning", markup=False, timeout=15)
        self.ask_terminal()
        self.run_worker(self._preload, thread=True)
        self.spawn(self._mount_rest())
        self.supervise(_("Watching the server"), self.parts.monitor.run)
        self.supervise(_("Saving the conversation"), self._save_periodically)
        if self._start.question:
            self.parts.submission.ask(self._start.question)
        elif self._submitted_early:
            self.composer.send()

    def _preload(self) -> None:
        try:
            import_for_first_answer()
        finally:
            self._collector.freeze()

    async def _save_periodically(self) -> None:
        while True:
            await asyncio.sleep(_CHECKPOINT_SECONDS)
            self.conversation.checkpoint()
            self._collector.tick(busy=self.conversation.has_pending_answers)

    async def _mount_rest(self) -> None:
        screen = self.screen_stack[0]
        with self.batch_update():  # drawn once
            await screen.mount(self.parts.sidebar, before=0)
            await self.parts.sidebar.start()
            await screen.mount(self.parts.welcome, before=self.transcript)
            await self.state_view.open_welcome()

    def _fit_height(self, rows: int) -> None:
        self.screen_stack[0].set_class(rows < LOW, "-low")

    @on(ColumnResized)
    def _align(self, event: ColumnResized) -> None:
        self.state_view.fit(event.width)

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self.state_view.show_edges()

    def on_welcome_chosen(self, event: "Welcome.Chosen") -> None:
        """Do what was chosen."""
        self.state_view.choose(event.choice)

    async def on_event(self, event: events.Event) -> None:
        """Let the composer have what is written elsewhere."""
        if isinstance(event, events.Key | events.Paste):
            await self.conversation.input_hold.wait()
            if isinstance(self.focused, WithoutText) and self.focused.is_text(event):
                self.screen.set_focus(self.composer)  # at once: the next key may be in the queue
        await super().on_event(event)

    def on_composer_below(self) -> None:
        """Choose from the welcome screen."""
        if self.parts.is_made("welcome") and self.parts.welcome.display and not self.composer.text:
            self.parts.welcome.focus()

    def on_welcome_left(self) -> None:
        """Go back to the composer."""
        self.composer.focus()

    def on_resize(self, event: events.Resize) -> None:
        """Fit to the new size."""
        self._fit_height(event.size.height)
        if self.parts.is_made("sidebar") and self.parts.sidebar.is_attached:
            self.parts.sidebar.fit(event.size.width)
            self.state_view.show_edges()

    def on_app_focus(self) -> None:
        """The user looks at the window again."""
        self._attention.end()

    def on_unmount(self) -> None:
        """End requests, however the window ends."""
        self._attention.end()
        asyncio.get_running_loop().set_exception_handler(None)
        if self.parts.is_made("title_generator"):
            self.parts.title_generator.stop()
        self.conversation.abandon()
        self._collector.close()

    def _write_to_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self.call_from_thread(self._driver.write, sequence)

    async def _edit_text(self, text: str) -> str:
        from .composer.external_editor import edit_text

        return await edit_text(self, text)

    @on(StateChanged)
    def _redraw_state(self) -> None:
        self.state_view.redraw()

    @on(ServerMonitor.EndpointResolved)
    def _replace_endpoint(self, event: ServerMonitor.EndpointResolved) -> None:
        self.parts.settings.replace_endpoint(event.before, event.endpoint)

    @on(ServerMonitor.Recovered)
    def _say_recovered(self, event: ServerMonitor.Recovered) -> None:
        text = _("The server responds again, after {n:.0f} s.").format(n=event.seconds)
        if self.conversation.unanswered:
            key = self.keymap.shown("retry")
            text += sentence_gap() + _("{key} sends the last question again.").format(key=key)
        self.say(text, seconds=8)

    @on(RequestStarted)
    def _stop_title_generation(self) -> None:
        if self.parts.is_made("title_generator"):
            self.parts.title_generator.stop()

    @on(AnswerEnded)
    def _notify_of_end(self, event: AnswerEnded) -> None:
        self._attention.answer_ended(event.title, failed=event.failed)

    @on(AnswerCompleted)
    def _generate_title(self, event: AnswerCompleted) -> None:
        if self.conversation.is_open:
            generator = self.parts.title_generator
            self.spawn(generator.generate(event.conversation, event.endpoint, event.model))

    def on_title_generator_generated(self, event: "TitleGenerator.Generated") -> None:
        """Set the title."""
        actions = self.parts.conversation_actions
        self.spawn(actions.set_generated_title(event.conversation, event.title))

    def on_message_actions_forked(self) -> None:
        """List the new conversation."""
        self.spawn(self.parts.sidebar.read())

    def on_sidebar_opened(self, event: "Sidebar.Opened") -> None:
        """Show the conversation."""
        self.spawn(self.conversation.show(event.conversation))

    def on_sidebar_renamed(self, event: "Sidebar.Renamed") -> None:
        """Store the title."""
        actions = self.parts.conversation_actions
        self.spawn(actions.rename_to(event.conversation, event.title))

    def _submit(self, event: Composer.Sent) -> None:
        """Submit. While the window opens or closes, the text stays in the composer."""
        if not self.conversation.is_open:
            self._submitted_early = True
        elif not self.parts.quit_handler.closing:
            self.parts.submission.submit(event.text, event.typed)

    @on(ChipTextArea.Pasted)
    def _say_size(self, event: ChipTextArea.Pasted) -> None:
        settings = self.parts.settings
        note, too_large = paste_note(event.text, settings.used_tokens or 0, settings.context_limit)
        self.say(note, error=too_large, seconds=8)

    def on_composer_escaped(self) -> None:
        """Cancel the editing of a message."""
        self.parts.message_actions.cancel()

    def on_composer_older(self) -> None:
        """Step through earlier questions."""
        if self.conversation.is_open:
            self.spawn(self.parts.conversation_actions.recall_questions())

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        """Copy to the clipboard."""
        self.spawn(self.parts.clipboard_actions.copy(event.text))

    # -- actions ---------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the conversation's keys while another screen lies on top of it."""
        if action == "do" and len(self.screen_stack) > 1:
            return ACTIONS[str(parameters[0])].everywhere
        return super().check_action(action, parameters)

    def action_do(self, name: str) -> None:
        """Perform the action of a key."""
        self.perform(ACTIONS[name])

    def perform(self, action: Action, argument: str = "") -> None:
        """Perform an action, if it is possible now; keys, commands and palette all lead here."""
        handler = self.handlers[action.name]
        if self.parts.quit_handler.closing:
            return
        if handler.needs_store and not self.conversation.is_open:
            return  # it is being opened; what was written stays
        if not action.while_coming and self._is_blocked():
            return
        if action.needs_argument and not argument:
            self.parts.overlays.ask_argument(action)
            return
        try:
            work = handler.run(argument)
        except Exception as e:
            self._report(e)
            return
        if inspect.iscoroutine(work):
            self.spawn(work)

    def _perform_next(self, action: Action, argument: str) -> None:
        """Perform an action as the window's own next step, not within that of a widget."""
        self.call_next(self.perform, action, argument)

    def _is_blocked(self) -> bool:
        """Whether a pending answer forbids an action; then say so."""
        if self.conversation.busy:
            text = _("An answer is pending; {key} stops it.")
            self.say(text.format(key=self.keymap.shown("interrupt")), seconds=3)
        return self.conversation.busy

    def _show_palette(self) -> None:
        if len(self.screen_stack) == 1:
            if self.parts.is_made("sidebar"):
                self.parts.sidebar.leave()
            self.parts.overlays.show_palette()

    def _toggle_help(self) -> None:
        from .screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
        elif len(self.screen_stack) == 1:
            self.push_screen(HelpScreen(self.keymap.help_text()))
