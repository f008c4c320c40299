"""What an action is, and the groups in which the help shows them."""

from typing import Final, NamedTuple

from ...i18n import _

WRITING: Final = _("Writing")
MOVING: Final = _("Moving")
ANSWERS: Final = _("Answers")
CONVERSATIONS: Final = _("Conversations")
MODEL: Final = _("Server, model, parameters")
COPYING: Final = _("Copying")
WINDOW: Final = _("The window")
LIST: Final = _("In the list of conversations")
GROUPS: Final = (WRITING, CONVERSATIONS, ANSWERS, MODEL, MOVING, COPYING, WINDOW, LIST)


class Action(NamedTuple):
    """Something that a person can do.

    `keys` are the default ones, as Textual names them, separated by commas; `slash` is the command
    without its slash, `argument` its argument for the help (``[FILE]`` is optional, ``TEXT`` is
    required). The module `action_handlers` has the handler, by `name`. `while_coming`: it may run
    during a pending answer of the conversation that is shown. `everywhere`: also while another
    screen lies on top of it. `palette`: the command palette offers it. `place` is "" for keys of
    the whole window, "list" for keys of the list of conversations.
    """

    name: str
    about: str
    group: str
    keys: str = ""
    slash: str = ""
    argument: str = ""
    while_coming: bool = True
    everywhere: bool = False
    palette: bool = True
    place: str = ""

    @property
    def needs_argument(self) -> bool:
        """Whether something must stand behind its command."""
        return bool(self.argument) and not self.argument.startswith("[")
