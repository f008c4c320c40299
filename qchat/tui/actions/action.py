"""The type of an action, and the groups of the help."""

from typing import Final, NamedTuple

from ...i18n import _

WRITING: Final = _("Writing")
MOVING: Final = _("Navigation")
ANSWERS: Final = _("Answers")
CONVERSATIONS: Final = _("Conversations")
MODEL: Final = _("Server, model, parameters")
COPYING: Final = _("Copying")
WINDOW: Final = _("Window")
LIST: Final = _("In the list of conversations")
GROUPS: Final = (WRITING, CONVERSATIONS, ANSWERS, MODEL, MOVING, COPYING, WINDOW, LIST)


class Action(NamedTuple):
    """An action of the user.

    `about` describes it. `keys` are the default keys in Textual's notation, comma-separated;
    `slash` is the command without its slash, which every action has, `argument` its placeholder
    (``[FILE]`` is optional, ``TEXT`` is required). The module `action_handlers` has the handler, by
    `name`. `while_coming`: available while an answer streams in the current conversation.
    `everywhere`: available on other screens, too. `palette`: listed in the command palette. `place`
    is "" for a key of the whole window, "list" for a key of the list of conversations.
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
        """Whether its command requires an argument."""
        return bool(self.argument) and not self.argument.startswith("[")
