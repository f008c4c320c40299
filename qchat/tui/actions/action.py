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

    `keys` are the default ones, as Textual names them, apart by commas; `slash` is the command
    without its slash, `argument` what may stand behind it as a person reads it (``[FILE]`` is
    optional, ``TEXT`` is required). `action_handlers` has its handler, by `name`. `while_coming`: it may
    run during a pending answer of the conversation that is shown.`everywhere`: also while another screen lies
    on top of the conversation. `palette`: the command palette offers it. `place` is "" for keys of
    the whole window, "list" for those that mean this only while the list has the focus.
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
