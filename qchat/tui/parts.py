"""The parts of the chat, and how they are connected."""

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from textual.containers import Vertical

from .actions.action import Action
from .actions.keymap import Keymap
from .actions.menu import command_entries
from .chat.active_settings import ActiveSettings
from .chat.conversation import Conversation
from .chat.drafts import Drafts
from .composer.command_menu import CommandEntry
from .composer.completion_list import CompletionList
from .composer.composer import Composer
from .launch import LaunchOptions
from .quitting import QuitHandler
from .servers.monitor import ServerMonitor
from .terminal import brackets_pastes
from .transcript.transcript import Transcript
from .widgets.composer_notes import ComposerNotes
from .widgets.status_line import StatusLine, TitleBar
from .window import Window

if TYPE_CHECKING:
    from .chat.batch_actions import BatchActions
    from .chat.conversation_actions import ConversationActions
    from .chat.message_actions import MessageActions
    from .chat.server_actions import ServerActions
    from .chat.settings_actions import SettingsActions
    from .chat.submission import Submission
    from .chat.titles import TitleGenerator
    from .clipboard_actions import ClipboardActions
    from .overlays import Overlays
    from .widgets.sidebar import Sidebar
    from .widgets.welcome import Welcome


class ChatParts:
    """Makes each part with its collaborators; no part sees this object.

    Parts that the first paint does not need are imported and made at their first use.
    """

    def __init__(
        self,
        window: Window,
        start: LaunchOptions,
        keymap: Keymap,
        *,
        perform: Callable[[Action, str], None],
        is_blocked: Callable[[], bool],
        write: Callable[[str], None],
        edit_text: Callable[[str], Awaitable[str]],
        submit: Callable[[Composer.Sent], None],
    ) -> None:
        """`perform` runs an action with its argument, `is_blocked` tells that a pending answer
        forbids it, `write` sends an escape sequence to the terminal, `edit_text` returns a text as
        edited in the external editor, `submit` is called with what is sent from the composer."""
        self._window = window
        self._start = start
        self._keymap = keymap
        self._perform = perform
        self._is_blocked = is_blocked
        self._write = write
        self._edit_text = edit_text
        self.title_bar = TitleBar(id="title")
        self.transcript = Transcript(id="transcript", copy_key=keymap.shown("copy_code"))
        self.completions = CompletionList()
        self.composer = Composer(
            id="composer",
            options=start.tui,
            commands=self._commands,
            brackets_pastes=brackets_pastes(os.environ),
            submit=submit,
        )
        self.composer.takes_pictures = start.pictures
        self.notes = ComposerNotes(id="notes")
        self.status_line = StatusLine(id="status")
        self.writing_area = Vertical(
            self.notes, self.completions, self.composer, self.status_line, id="writing"
        )
        self.monitor = ServerMonitor(
            window, start.endpoint, start.settings, lambda: self.conversation.busy
        )
        self.settings = ActiveSettings(window, keymap, self.monitor, start)
        self.conversation = Conversation(
            window,
            keymap,
            self.transcript,
            Drafts(window, self.composer),
            self.settings,
            self.monitor,
        )
        self.quit_handler = QuitHandler(
            window, keymap, self.conversation, lambda: self.clipboard_actions.copy_selection()
        )

    @cached_property
    def welcome(self) -> "Welcome":
        """What stands where a conversation has not begun."""
        from .widgets.welcome import Welcome

        welcome = Welcome(id="welcome")
        welcome.display = False
        return welcome

    @cached_property
    def sidebar(self) -> "Sidebar":
        """The list of conversations."""
        from .chat.conversation_source import StoreSource
        from .widgets.sidebar import Sidebar

        source = StoreSource(self.conversation)
        return Sidebar(self._window, self._keymap, source, self.composer)

    @cached_property
    def clipboard_actions(self) -> "ClipboardActions":
        """Copying."""
        from .clipboard_actions import ClipboardActions

        return ClipboardActions(self._window, self.transcript, self.composer, self._write)

    @cached_property
    def conversation_actions(self) -> "ConversationActions":
        """Actions on whole conversations."""
        from .chat.conversation_actions import ConversationActions

        return ConversationActions(
            self._window, self._keymap, self.conversation, self.sidebar, self.composer
        )

    @cached_property
    def message_actions(self) -> "MessageActions":
        """Actions on single messages."""
        from .chat.message_actions import MessageActions

        return MessageActions(
            self._window, self._keymap, self.conversation, self.transcript, self.composer
        )

    @cached_property
    def overlays(self) -> "Overlays":
        """Screens over the conversation."""
        from .overlays import Overlays

        return Overlays(
            self._window, self._keymap, self.conversation, self.transcript, self._perform
        )

    @cached_property
    def server_actions(self) -> "ServerActions":
        """Starting servers."""
        from .chat.server_actions import ServerActions

        return ServerActions(
            self._window,
            self._keymap,
            self.conversation,
            self.settings,
            self.settings_actions,
            self.monitor,
            self._start.settings,
            lambda: self.submission.send_queued(),
        )

    @cached_property
    def settings_actions(self) -> "SettingsActions":
        """Actions on the settings of the next request."""
        from .chat.settings_actions import SettingsActions

        return SettingsActions(
            self._window, self.settings, self.monitor, self._start.settings, self._edit_text
        )

    @cached_property
    def submission(self) -> "Submission":
        """What Enter does."""
        from .chat.submission import Submission

        return Submission(
            self._window,
            self.conversation,
            self.composer,
            self.message_actions,
            self._perform,
            self._is_blocked,
            prompt_names=lambda: self.settings_actions.prompt_names(),
            use_prompt=lambda name, then: self.settings_actions.use_prompt(name, then),
            begin_conversation=lambda send, cancel: self.settings_actions.begin(send, cancel),
            is_server_awaited=lambda: self.is_server_awaited,
        )

    @property
    def is_server_awaited(self) -> bool:
        """Whether a server is being started from here and no other one answers meanwhile."""
        return self.is_made("server_actions") and self.server_actions.is_awaited

    def _commands(self) -> Sequence[CommandEntry]:
        """The commands of the composer's menu: the actions, and the own system prompts."""
        return command_entries(self.settings_actions.prompt_names())

    @cached_property
    def batch_actions(self) -> "BatchActions":
        """From the chat to a batch."""
        from .chat.batch_actions import BatchActions

        return BatchActions(self._window, self.settings, self.monitor)

    @cached_property
    def title_generator(self) -> "TitleGenerator":
        """Titles by the model; only once the store is open."""
        from .chat.titles import TitleGenerator

        return TitleGenerator(
            self._window,
            self.conversation.repository,
            lambda: self.conversation.busy,
            enabled=self._start.tui.titles,
        )

    def exit_notes(self) -> Iterable[str]:
        """Sentences for the terminal after the end: servers and batches that keep running."""
        if self.is_made("server_actions"):
            yield from self.server_actions.exit_notes()
        if self.is_made("batch_actions"):
            yield from self.batch_actions.exit_notes()

    def is_made(self, name: str) -> bool:
        """Whether a part that is made at its first use exists."""
        return name in self.__dict__


def import_for_first_answer() -> None:
    """Import what the first question and the first answer should not wait for."""
    import markdown_it  # noqa: F401

    from ..api import client  # noqa: F401
    from .chat import pending_answer  # noqa: F401
    from .markdown import Renderer  # noqa: F401
