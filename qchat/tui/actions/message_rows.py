"""Rows of the table of actions: questions and answers."""

from typing import Final

from ...i18n import _
from .action import ANSWERS, CONVERSATIONS, WRITING, Action

MESSAGES: Final = (
    Action("stop", _("stop the answer and keep its text so far"), ANSWERS, slash="stop"),
    Action(
        "continue",
        _("continue an answer that was stopped or cut off"),
        ANSWERS,
        keys="alt+g",
        slash="continue",
        while_coming=False,
    ),
    Action(
        "edit",
        _("edit the question at the cursor, else the last, and send it as a new version"),
        ANSWERS,
        keys="alt+q",
        slash="edit",
        while_coming=False,
    ),
    Action(
        "amend",
        _("edit an answer, and let the model continue it"),
        ANSWERS,
        keys="alt+a",
        slash="amend",
        while_coming=False,
    ),
    Action(
        "version_before",
        _("show the previous version of a message"),
        ANSWERS,
        keys="alt+p",
        slash="before",
        while_coming=False,
    ),
    Action(
        "version_after",
        _("show the next version of a message"),
        ANSWERS,
        keys="alt+n",
        slash="after",
        while_coming=False,
    ),
    Action(
        "drop",
        _("remove the message at the cursor, else the last question, and all after it"),
        ANSWERS,
        keys="ctrl+delete",
        slash="drop",
        while_coming=False,
    ),
    Action(
        "undo",
        _("restore the messages removed last"),
        ANSWERS,
        keys="alt+z",
        slash="undo",
        while_coming=False,
    ),
    Action(
        "fork",
        _("copy the conversation up to the cursor, else all of it, to a new one"),
        CONVERSATIONS,
        keys="alt+k",
        slash="fork",
        while_coming=False,
    ),
    Action(
        "unqueue",
        _("move queued messages back into the composer"),
        WRITING,
        keys="alt+w",
        slash="unqueue",
    ),
    Action(
        "cancel",
        _("cancel editing a message (also Escape)"),
        WRITING,
        slash="cancel",
    ),
)
