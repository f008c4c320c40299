"""Screens over the conversation: answer details, command palette, an action's argument."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..i18n import _
from .actions.action import Action
from .actions.keymap import Keymap
from .chat.conversation import Conversation
from .transcript.transcript import Transcript
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..store import StoredConversation


class Overlays:
    """Opens the screens that belong to no other part."""

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        conversation: Conversation,
        transcript: Transcript,
        perform: Callable[[Action, str], None],
    ) -> None:
        """`perform` runs an action with its argument."""
        self._window = window
        self._keymap = keymap
        self._conversation = conversation
        self._transcript = transcript
        self._perform = perform

    async def show_info(self) -> None:
        """Show the details of the answer at the cursor, or of the last one on the screen."""
        from .screens.answer_info import AnswerInfo, rows_of

        answer_id = self._transcript.answer_in_view()
        if answer_id is None:
            self._window.say(_("There is no answer here yet."))
            return
        repository = self._conversation.repository
        answer = await repository.run(repository.store.messages.get, answer_id)
        self._window.push_screen(AnswerInfo(rows_of(answer)))

    def show_palette(self) -> None:
        """Open the command palette."""
        from .actions.palette import PaletteCommands, open_palette

        commands = PaletteCommands(
            self._keymap,
            lambda action: self._perform(action, ""),
            self._conversations,
            lambda key: self._window.spawn(self._conversation.show(key)),
        )
        self._window.push_screen(open_palette(commands))

    async def _conversations(self) -> "Sequence[StoredConversation]":
        from ..store import StoreError

        if not self._conversation.is_open:
            return []
        repository = self._conversation.repository
        try:
            return await repository.run(repository.store.conversations.list)
        except StoreError as e:
            self._window.say(str(e), error=True, seconds=10)
            return []

    def ask_argument(self, action: Action) -> None:
        """Ask for the argument of an action, and run it."""
        from .screens.argument_prompt import ArgumentPrompt

        def run(argument: str | None) -> None:
            if argument:
                self._perform(action, argument)

        self._window.push_screen(ArgumentPrompt(action), run)
