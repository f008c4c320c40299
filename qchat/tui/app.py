"""The window of the chat: layout, messages of the parts, dispatch of actions, error reports."""

import asyncio
import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.driver import Driver
from textual.filter import LineFilter, NoColor

from ..errors import Exit, QchatError
from ..i18n import _
from .action_handlers import ActionHandler, action_handlers
from .actions.action import Action
from .actions.keymap import Keymap
from .actions.table import ACTIONS
from .attention import Attention
from .chat.events import AnswerCompleted, AnswerEnded, RequestStarted
from .chat.status import status_parts
from .composer.chip_text_area import ChipTextArea
from .composer.chips import paste_note
from .composer.completion_list import CompletionList
from .composer.composer import Composer
from .garbage_collection import GarbageCollection
from .launch import LaunchOptions, welcome_text
from .parts import ChatParts, import_for_first_answer
from .reporting_app import ReportingApp
from .servers.monitor import ServerMonitor
from .terminal import redraw, suspend
from .terminal_questions import TerminalQuestions, asking_driver
from .themes import THEMES, first_theme, theme_after, theme_named
from .threads import run_in_daemon_thread
from .transcript.transcript import Transcript
from .window import StateChanged

if TYPE_CHECKING:
    from ..store import Store
    from .chat.titles import TitleGenerator
    from .widgets.sidebar import Sidebar

_CHECKPOINT_SECONDS = 1.0


class ChatApp(ReportingApp, inherit_bindings=False):
    """The window: shows one conversation at a time.

    `parts` are what it is made of.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; layers: default over; }
    ToastRack { dock: top; align: right top; }
    Toast { max-width: 80%; }
    """

    def __init__(
        self, open_store: "Callable[[], Store]", start: LaunchOptions, keymap: Keymap | None = None
    ) -> None:
        """`open_store` is called after the first paint, in a thread."""
        self._questions = TerminalQuestions()  # first: the driver is made at once
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
        self.transcript.is_line_busy = self._questions.is_behind
        self.composer = self.parts.composer
        self.conversation = self.parts.conversation
        self.handlers = {
            **action_handlers(self.parts),
            "suspend": ActionHandler(lambda _: suspend(self)),
            "redraw": ActionHandler(lambda _: redraw(self)),
            "palette": ActionHandler(lambda _: self._show_palette()),
            "theme": ActionHandler(self._choose_theme),
            "help": ActionHandler(lambda _: self._toggle_help()),
        }
        self._collector = GarbageCollection()
        self._attention = Attention(
            self._write_sequence, lambda: self.app_focus, os.environ, enabled=start.tui.notify
        )
        self._submitted_early = False
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = first_theme(start.tui.theme, no_color=self.no_color)
        self._variables = self.get_css_variables()
        self.stylesheet.set_variables(self._variables)
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

    def get_driver_class(self) -> type[Driver]:
        """The driver of the platform, which counts what the terminal has drawn."""
        return asking_driver(super().get_driver_class(), self._questions)

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """The terminal has answered a question."""
        self._questions.answered(event.x)

    def _measure_emoji(self) -> None:
        """Ask once how wide the terminal draws emoji with a variation selector."""
        row = self.size.height
        self._write_sequence(self._questions.emoji_width(row, self._use_emoji_width))
        self.get_widget_at(0, row - 1)[0].refresh()  # what the question was drawn over

    def _use_emoji_width(self, cells: int) -> None:
        self.transcript.set_narrow_emoji(cells == 1)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Remove colours where the theme has none."""
        return [NoColor()] if self.theme == "no-color" else super().get_line_filters()

    def refresh_css(self, animate: bool = True) -> None:
        """Parse the styles again for another theme; the first one's need not be."""
        variables = self.get_css_variables()
        if variables != self._variables:
            self._variables = variables
            super().refresh_css(animate)

    # -- opening and closing ---------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Transcript, composer, status line; the sidebar is mounted when the store is open."""
        yield self.transcript
        yield self.parts.notes
        yield CompletionList()
        yield self.composer
        yield self.parts.status_line

    def on_mount(self) -> None:
        """Open the store after the first paint."""
        self.composer.focus()
        self._show_status("")
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
        self._measure_emoji()
        self.run_worker(self._preload, thread=True)
        self.spawn(self._mount_sidebar())
        self.supervise(_("Watching the server"), self.parts.monitor.run)
        self.supervise(_("Saving the conversation"), self._save_periodically)
        if self._start.question:
            self.conversation.send(self._start.question)
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

    async def _mount_sidebar(self) -> None:
        await self.screen_stack[0].mount(self.parts.sidebar, before=0)
        await self.parts.sidebar.start()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the sidebar to the new width."""
        if self.parts.is_made("sidebar") and self.parts.sidebar.is_attached:
            self.parts.sidebar.fit(event.size.width)

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

    def _write_sequence(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
            self._driver.flush()

    def _write_to_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self.call_from_thread(self._driver.write, sequence)

    async def _edit_text(self, text: str) -> str:
        from .composer.external_editor import edit_text

        return await edit_text(self, text)

    @on(StateChanged)
    def _redraw_state(self) -> None:
        parts, result, label = self.parts, self.parts.monitor.result, self.keymap.shown
        if parts.is_made("sidebar"):
            parts.sidebar.state_changed()
        activity = parts.server_actions.activity if parts.is_made("server_actions") else ""
        self._show_status(activity)
        queue = [message.text for message in self.conversation.drafts.queue]
        editing = parts.message_actions.note if self.conversation.drafts.edited else ""
        parts.notes.show(queue, label("unqueue"), editing)
        if result is not None:
            endpoint = parts.settings.current.endpoint
            self.transcript.placeholder = welcome_text(
                endpoint,
                result,
                activity,
                start_key=label("start"),
                help_key=label("help"),
                model_key=label("model"),
            )
            if not self.transcript.messages:
                self.transcript.refresh()

    def _show_status(self, activity: str) -> None:
        settings, monitor = self.parts.settings, self.parts.monitor
        self.parts.status_line.show(
            status_parts(self.conversation, settings, monitor, self.keymap, activity)
        )

    @on(ServerMonitor.EndpointResolved)
    def _replace_endpoint(self, event: ServerMonitor.EndpointResolved) -> None:
        self.parts.settings.replace_endpoint(event.before, event.endpoint)

    @on(ServerMonitor.Recovered)
    def _say_recovered(self, event: ServerMonitor.Recovered) -> None:
        text = _("The server responds again, after {n:.0f} s.").format(n=event.seconds)
        if self.conversation.unanswered:
            key = self.keymap.shown("retry")
            text += " " + _("{key} sends the last question again.").format(key=key)
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

    def _choose_theme(self, name: str) -> None:
        """Use another theme, without a name the next one. Raises `UsageError`."""
        self.theme = theme_named(name) if name else theme_after(self.theme)
        self.say(_("Theme: {name}").format(name=self.theme))
