"""The table of all that a person can do: keys, help, palette and slash commands come from it.

A new action is a row here, or in one of the tables that are included here, and a line in
`action_handlers`.
"""

from typing import Final

from ...i18n import _
from .action import ANSWERS, CONVERSATIONS, COPYING, LIST, MOVING, WINDOW, WRITING, Action
from .message_rows import MESSAGES
from .model_rows import MODELS

_ROWS: Final = (
    Action(
        "new",
        _("a new conversation"),
        CONVERSATIONS,
        keys="ctrl+n",
        slash="new",
    ),
    Action(
        "list",
        _("the list of conversations: show it, go to it, put it away"),
        CONVERSATIONS,
        keys="ctrl+l",
        slash="list",
    ),
    Action(
        "search",
        _("search all conversations"),
        CONVERSATIONS,
        keys="ctrl+f",
        slash="search",
        argument="[WORDS]",
    ),
    Action(
        "rename",
        _("give this conversation a title"),
        CONVERSATIONS,
        slash="rename",
        argument="TITLE",
    ),
    Action(
        "pin",
        _("pin this conversation on top, or let go of it"),
        CONVERSATIONS,
        slash="pin",
    ),
    Action(
        "archive",
        _("archive this conversation, or take it back"),
        CONVERSATIONS,
        slash="archive",
    ),
    Action(
        "delete",
        _("delete this conversation; /restore brings it back"),
        CONVERSATIONS,
        slash="delete",
    ),
    Action(
        "restore",
        _("bring back the conversation that was deleted last"),
        CONVERSATIONS,
        slash="restore",
    ),
    Action(
        "export",
        _("write this conversation to a file: md, json or jsonl"),
        CONVERSATIONS,
        slash="export",
        argument="[FORMAT] [FILE]",
    ),
    Action(
        "import",
        _("read conversations from a file of qchat's, or of lines of messages"),
        CONVERSATIONS,
        slash="import",
        argument="FILE",
    ),
    *MESSAGES,
    Action(
        "retry",
        _("ask the last question again"),
        ANSWERS,
        keys="ctrl+r",
        slash="retry",
        while_coming=False,
    ),
    Action(
        "info",
        _("what is known of an answer: model, parameters, tokens, times"),
        ANSWERS,
        keys="f6",
        slash="info",
    ),
    *MODELS,
    Action(
        "thought",
        _("unfold or fold the thinking"),
        ANSWERS,
        keys="ctrl+t",
    ),
    Action(
        "page_up",
        _("scroll up"),
        MOVING,
        keys="pageup",
        palette=False,
    ),
    Action(
        "page_down",
        _("scroll down"),
        MOVING,
        keys="pagedown",
        palette=False,
    ),
    Action(
        "message_before",
        _("to the message before"),
        MOVING,
        keys="alt+up",
        palette=False,
    ),
    Action(
        "message_after",
        _("to the message after"),
        MOVING,
        keys="alt+down",
        palette=False,
    ),
    Action(
        "code_before",
        _("to the block of code before"),
        MOVING,
        keys="alt+left",
        palette=False,
    ),
    Action(
        "code_after",
        _("to the block of code after"),
        MOVING,
        keys="alt+right",
        palette=False,
    ),
    Action(
        "bottom",
        _("to the end, and follow the answer"),
        MOVING,
        keys="ctrl+end",
    ),
    Action(
        "copy_code",
        _("copy a block of code"),
        COPYING,
        keys="ctrl+b",
    ),
    Action(
        "copy_message",
        _("copy an answer as Markdown"),
        COPYING,
        keys="ctrl+o",
        slash="copy",
    ),
    Action(
        "editor",
        _("write in your own editor ($VISUAL, $EDITOR)"),
        WRITING,
        keys="alt+e",
        slash="editor",
    ),
    Action("unfold", _("unfold a pasted text in the field"), WRITING, keys="f2"),
    Action(
        "interrupt",
        _("copy what is selected; else stop the answer; twice: quit"),
        WINDOW,
        keys="ctrl+c",
        everywhere=True,
        palette=False,
    ),
    Action("leave", _("quit"), WINDOW, keys="ctrl+q", slash="quit", everywhere=True),
    Action(
        "palette",
        _("find an action or a conversation by some of its letters"),
        WINDOW,
        keys="ctrl+p",
        palette=False,
    ),
    Action(
        "theme",
        _("light, dark, high-contrast or no-color; without a name the next one"),
        WINDOW,
        slash="theme",
        argument="[NAME]",
    ),
    Action(
        "help",
        _("the keys and the commands"),
        WINDOW,
        keys="f1",
        slash="help",
        everywhere=True,
    ),
    Action(
        "list_rename",
        _("another title for the chosen one"),
        LIST,
        keys="r",
        palette=False,
        place="list",
    ),
    Action(
        "list_pin",
        _("pin it on top, or let go of it"),
        LIST,
        keys="p",
        palette=False,
        place="list",
    ),
    Action(
        "list_archive",
        _("archive it, or take it back"),
        LIST,
        keys="a",
        palette=False,
        place="list",
    ),
    Action(
        "list_delete",
        _("delete it"),
        LIST,
        keys="d,delete",
        palette=False,
        place="list",
    ),
    Action(
        "list_restore",
        _("bring back what was deleted last"),
        LIST,
        keys="u",
        palette=False,
        place="list",
    ),
    Action(
        "list_archived",
        _("show the archived ones, or the others again"),
        LIST,
        keys="v",
        palette=False,
        place="list",
    ),
)

ACTIONS: Final = {action.name: action for action in _ROWS}
SLASHES: Final = {action.slash: action for action in _ROWS if action.slash}
