"""The chat on the screen: what it is made of, and how an action gets to its room."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, ComposeResult
from textual.filter import LineFilter, NoColor

from ..errors import Exit, QchatError
from ..i18n import _
from ..sanitize import one_line
from .actions.action import Action
from .actions.keymap import Keymap
from .actions.table import ACTIONS
from .chat.active_settings import ActiveSettings
from .chat.conversation import Conversation
from .composer.completion_list import CompletionList
from .composer.composer import Composer
from .composer_notes import ComposerNotes
from .garbage_collection import GarbageCollection
from .launch import LaunchOptions, welcome_text
from .quitting import QuitHandler
from .server_probe import ServerProbe
from .status_line import StatusLine
from .themes import THEMES, first_theme
from .threads import run_in_daemon_thread
from .transcript.transcript import Transcript

if TYPE_CHECKING:
    from ..store import Store
    from .chat.conversation_actions import ConversationActions
    from .chat.message_actions import MessageActions
    from .chat.settings_actions import SettingsActions
    from .chat.titles import TitleGenerator
    from .copying import ClipboardActions
    from .overlays import Overlays
    from .server_offers import ServerOffers
    from .sidebar import Sidebar
    from .submission import Submission

_CHECKPOINT_SECONDS = 1.0


class ChatApp(App[int], inherit_bindings=False):
    """One window on one conversation at a time.

    What is not needed to paint the first screen is imported and made when it is first wanted.
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
        """`open_store` is called after the first paint.

        `failure` is why that did not work, or why what was written could not be kept; `fault` the
        first error of qchat's own, with which the chat went on.
        """
        super().__init__()
        self._start = start
        self._open_store = open_store
        self.keymap = keymap or Keymap()
        self.failure: QchatError | None = None
        self.fault: Exception | None = None
        self.transcript = Transcript(id="transcript")
        self.composer = Composer(
            id="composer", options=start.tui, help_key=self.keymap.shown("help")
        )
        self._status = StatusLine(id="status")
        self.current = ActiveSettings(self, start)
        self.conversation = Conversation(self)
        self.probe = ServerProbe(self)
        self.leaving = QuitHandler(self)
        self._sidebar: Sidebar | None = None
        self._notes = ComposerNotes(id="notes")
        self._collector = GarbageCollection()
        self._sent_early = False
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = first_theme(start.tui.theme, no_color=self.no_color)
        self._variables = self.get_css_variables()
        self.stylesheet.set_variables(self._variables)
        for binding in self.keymap.bindings():
            self._bindings.bind(binding.key, binding.action, priority=True)

    @property
    def sidebar(self) -> "Sidebar":
        """The list of conversations; not before the first paint."""
        from .sidebar import Sidebar

        if self._sidebar is None:
            self._sidebar = Sidebar(self)
        return self._sidebar

    @cached_property
    def chats(self) -> "ConversationActions":
        """What is done with whole conversations."""
        from .chat.conversation_actions import ConversationActions

        return ConversationActions(self)

    @cached_property
    def copies(self) -> "ClipboardActions":
        """The way to the clipboard."""
        from .copying import ClipboardActions

        return ClipboardActions(self)

    @cached_property
    def offers(self) -> "ServerOffers":
        """The servers that are started from here."""
        from .server_offers import ServerOffers

        return ServerOffers(self, self._start)

    @cached_property
    def screens(self) -> "Overlays":
        """What is laid over the conversation."""
        from .overlays import Overlays

        return Overlays(self)

    @cached_property
    def sending(self) -> "Submission":
        """What Enter does."""
        from .submission import Submission

        return Submission(self)

    @cached_property
    def talk(self) -> "MessageActions":
        """What is done with single messages."""
        from .chat.message_actions import MessageActions

        return MessageActions(self)

    @cached_property
    def titles(self) -> "TitleGenerator":
        """What gives conversations their titles."""
        from .chat.titles import TitleGenerator

        return TitleGenerator(self, wanted=self._start.tui.titles)

    @cached_property
    def uses(self) -> "SettingsActions":
        """What is changed of what the next question is asked with."""
        from .chat.settings_actions import SettingsActions

        return SettingsActions(self, self._start)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without colours, none reach the terminal."""
        return [NoColor()] if self.theme == "no-color" else super().get_line_filters()

    def refresh_css(self, animate: bool = True) -> None:
        """Another theme; the first one's colours were there before anything was parsed."""
        variables = self.get_css_variables()
        if variables != self._variables:
            self._variables = variables
            super().refresh_css(animate)

    def compose(self) -> ComposeResult:
        """Transcript, composer, status line; the list comes once there is a store."""
        yield self.transcript
        yield self._notes
        yield CompletionList()
        yield self.composer
        yield self._status

    def on_mount(self) -> None:
        """Show what there is; the rest waits for the first paint."""
        self.composer.focus()
        self._show_status()
        self.call_after_refresh(lambda: self.spawn(self._open()))

    async def _open(self) -> None:
        try:
            store = await run_in_daemon_thread(
                self._open_store
            )  # another qchat may be at it, for seconds
            last = store.conversations.last() if self._start.go_on else None
            self.conversation.open(store, last.id if last is not None else None)
        except QchatError as e:
            self.failure = e
            self.exit(int(e.exit_code))
            return
        except Exception:
            self.exit(int(Exit.ENGINE))
            raise
        if store.notice:
            self.notify(store.notice, severity="warning", markup=False, timeout=15)
        self.run_worker(self._warm_up, thread=True)
        self.spawn(self._show_list())
        self.spawn(self.probe.watch())
        self.set_interval(_CHECKPOINT_SECONDS, self._every_second)
        if self._start.question:
            self.conversation.send(self._start.question)
        elif self._sent_early:
            self.composer.send()

    def _warm_up(self) -> None:
        # What the first question and the first answer need not wait for.
        try:
            import markdown_it  # noqa: F401

            from ..api import client  # noqa: F401
            from .chat import pending_answer as answering  # noqa: F401
            from .markdown import Renderer  # noqa: F401
        finally:
            self._collector.loaded()

    def _every_second(self) -> None:
        self.conversation.checkpoint()
        self._collector.tick(busy=self.conversation.answers)

    async def _show_list(self) -> None:
        await self.screen_stack[0].mount(self.sidebar, before=0)
        await self.sidebar.begin()

    def on_resize(self, event: events.Resize) -> None:
        """There is room for the list now, or no longer."""
        if self._sidebar is not None and self._sidebar.is_attached:
            self._sidebar.fit(event.size.width)

    def on_unmount(self) -> None:
        """However the window ends: nothing more is drawn."""
        self.conversation.abandon()
        self._collector.close()

    # -- for the rooms ---------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the rest; what goes wrong is said, and the chat goes on."""
        self.run_worker(self._told(work), exit_on_error=True)

    def follow(self, work: Awaitable[object]) -> None:
        """Say what goes wrong with something that has begun."""
        self.spawn(_awaited(work))

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as e:
            self._tell(e)

    def _tell(self, error: Exception) -> None:
        """Say what went wrong; the chat goes on, whatever it was."""
        text = str(error)
        if not isinstance(error, QchatError):
            if self.leaving.begun:
                return  # what was still on its way met a store that is closed
            self.fault = self.fault or error
            text = _("{kind}: {what}. This is a fault of qchat's own; the chat goes on.")
            what = one_line(str(error)).rstrip(".")
            text = text.format(kind=type(error).__name__, what=what)
        self.say(text, error=True, seconds=10)

    def say(self, text: str, *, error: bool = False, seconds: float = 4) -> None:
        """A sentence in the corner, for a while; it does not stand there twice."""
        if any(note.message == text and not note.has_expired for note in self._notifications):
            return
        self.notify(
            text, severity="error" if error else "information", markup=False, timeout=seconds
        )

    def changed(self) -> None:
        """Show how things are: the status line, and what an empty conversation says."""
        if self._sidebar is not None:
            self._sidebar.changed()
        shown, look, doing = self.keymap.shown, self.probe.last, self.offers.doing
        self._show_status(doing)
        waiting = [message.text for message in self.conversation.waiting]
        self._notes.tell(waiting, shown("unqueue"), self.talk.note)
        if look is not None:
            endpoint = self.current.using.endpoint
            self.transcript.placeholder = welcome_text(
                endpoint, look, doing, start_key=shown("start"), help_key=shown("help")
            )
            if not self.transcript.messages:
                self.transcript.refresh()

    def _show_status(self, doing: str = "") -> None:
        doing = doing or self._wanting()
        stop_key = self.keymap.shown("interrupt")
        self._status.show(self.conversation, self.current, self.probe, doing, stop_key)

    def _wanting(self) -> str:
        """What there is to do before a question can be answered."""
        look = self.probe.last
        if look is not None and look.seconds is None:
            return _("{key} finds one").format(key=self.keymap.shown("start"))
        if look is not None and self.current.using.model is None and len(look.models) > 1:
            return _("{key} chooses a model").format(key=self.keymap.shown("model"))
        return ""

    # -- actions ---------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the conversation mean nothing while another screen lies on top of it."""
        if action == "do" and len(self.screen_stack) > 1:
            return ACTIONS[str(parameters[0])].everywhere
        return super().check_action(action, parameters)

    def action_do(self, name: str) -> None:
        """A key was pressed."""
        self.perform(ACTIONS[name])

    def perform(self, action: Action, argument: str = "") -> None:
        """Do it, if it can be done now; the ways to an action all lead through here."""
        if self.leaving.begun:
            return
        room, _dot, method = action.handler.partition(".")
        if room in ("conversation", "chats", "talk", "uses") and not self.conversation.opened:
            return  # it is just being opened; what was written stays
        if not action.while_coming and self.still_coming():
            return
        if action.needs_argument and not argument:
            self._ask_for(action)
            return
        values: Iterable[object] = (*action.values, *([argument] if action.argument else []))
        try:
            done = getattr(self.room(room), method)(*values)
        except Exception as e:
            self._tell(e)
            return
        if inspect.iscoroutine(done):
            self.spawn(done)

    def room(self, name: str) -> object:
        """The object whose methods `Action.handler` names."""
        return getattr(self, name)

    def _ask_for(self, action: Action) -> None:
        from .screens.argument_prompt import ArgumentPrompt

        def given(words: str | None) -> None:
            if words:
                self.perform(action, words)

        self.push_screen(ArgumentPrompt(action), given)

    def still_coming(self) -> bool:
        """Whether an answer is on its way; then that is said."""
        if self.conversation.busy:
            text = _("The answer is still coming; {key} stops it.")
            self.say(text.format(key=self.keymap.shown("interrupt")), seconds=3)
        return self.conversation.busy

    def on_composer_sent(self, event: Composer.Sent) -> None:
        """Enter. While the window opens or closes, what was written stays."""
        if not self.conversation.opened:
            self._sent_early = True
        elif not self.leaving.begun:
            self.sending.sent(event.text, event.typed)

    def on_composer_escaped(self) -> None:
        """Leave the editing of a message."""
        self.talk.cancel()

    def on_composer_older(self) -> None:
        """Up at the first line."""
        if self.conversation.opened:
            self.spawn(self.conversation.recall())

    def on_transcript_copied(self, event: Transcript.Copied) -> None:
        """A key copied something."""
        self.spawn(self.copies.copy(event.text))


async def _awaited(work: Awaitable[object]) -> None:
    await work
