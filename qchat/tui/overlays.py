"""What is laid over the conversation to look at, and how all of it looks."""

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..i18n import _
from .themes import THEMES, theme_after

if TYPE_CHECKING:
    from .app import ChatApp


class Overlays:
    """Opens the screens that belong to no other room."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app

    async def show_info(self) -> None:
        """What is known of the answer at the cursor, or of the last one on the screen."""
        from .screens.answer_info import AnswerInfo, rows_of

        number = self._app.transcript.answer_in_view()
        if number is None:
            self._app.say(_("There is no answer here yet."))
            return
        keeper = self._app.conversation.keeper
        answer = await keeper.run(keeper.store.messages.get, number)
        self._app.push_screen(AnswerInfo(rows_of(answer)))

    def palette(self) -> None:
        """Find an action or a conversation."""
        from .actions.palette import open_palette

        if len(self._app.screen_stack) == 1:
            self._app.sidebar.back()
            self._app.push_screen(open_palette())

    def choose_theme(self, name: str) -> None:
        """Another theme. Raises `UsageError` for an unknown one."""
        if name and name not in THEMES:
            names = ", ".join(THEMES)
            raise UsageError(
                _("There is no theme {name!r}: {names}").format(name=name, names=names)
            )
        self._app.theme = name or theme_after(self._app.theme)
        self._app.say(_("Theme: {name}").format(name=self._app.theme))

    def show_help(self) -> None:
        """The table of actions over the conversation, and back."""
        from .screens.help import HelpScreen

        if isinstance(self._app.screen, HelpScreen):
            self._app.pop_screen()
        elif len(self._app.screen_stack) == 1:
            self._app.push_screen(HelpScreen(self._app.keymap.help_text()))
