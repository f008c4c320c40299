"""What can be done with questions and answers: rows of the table of actions."""

from typing import Final

from ...i18n import _
from .action import ANSWERS, CONVERSATIONS, WRITING, Action

MESSAGES: Final = (
    Action("stop", _("stop the answer; what came stays"), ANSWERS, slash="stop"),
    Action(
        "continue",
        _("go on with an answer that was stopped or cut"),
        ANSWERS,
        keys="alt+g",
        slash="continue",
        while_coming=False,
    ),
    Action(
        "edit",
        _("edit a question: the one at the mark, else the last; it is asked as another version"),
        ANSWERS,
        keys="alt+q",
        slash="edit",
        while_coming=False,
    ),
    Action(
        "amend",
        _("edit an answer, and let the model go on from there"),
        ANSWERS,
        keys="alt+a",
        slash="amend",
        while_coming=False,
    ),
    Action(
        "version_before",
        _("the version before, where a message has several"),
        ANSWERS,
        keys="alt+p",
        slash="before",
        while_coming=False,
    ),
    Action(
        "version_after",
        _("the version after"),
        ANSWERS,
        keys="alt+n",
        slash="after",
        while_coming=False,
    ),
    Action(
        "drop",
        _("take out the message at the mark, else the last question, and all after it"),
        ANSWERS,
        keys="alt+d",
        slash="drop",
        while_coming=False,
    ),
    Action(
        "undo",
        _("bring back what was taken out last"),
        ANSWERS,
        keys="alt+z",
        slash="undo",
        while_coming=False,
    ),
    Action(
        "fork",
        _("a new conversation with all up to the mark, else with the whole of it"),
        CONVERSATIONS,
        keys="alt+k",
        slash="fork",
        while_coming=False,
    ),
    Action(
        "unqueue",
        _("take back into the field what waits for the answer to end"),
        WRITING,
        keys="alt+w",
        slash="unqueue",
    ),
    Action(
        "cancel",
        _("leave the editing of a message; Escape does, too"),
        WRITING,
        slash="cancel",
    ),
)
