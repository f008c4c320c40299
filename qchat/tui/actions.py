"""The table of all that a person can do: keys, help, palette and slash commands come from it.

A new action is a row here and a method in a fitting room (`ChatApp.rooms` names them).
"""

from dataclasses import dataclass
from typing import Final

from ..i18n import _

WRITING: Final = _("Writing")
MOVING: Final = _("Moving")
ANSWERS: Final = _("Answers")
CONVERSATIONS: Final = _("Conversations")
COPYING: Final = _("Copying")
WINDOW: Final = _("The window")
LIST: Final = _("In the list of conversations")
GROUPS: Final = (WRITING, CONVERSATIONS, ANSWERS, MOVING, COPYING, WINDOW, LIST)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person can do.

    `keys` are the default ones, as Textual names them, apart by commas; `slash` is the command
    without its slash, `argument` what may stand behind it as a person reads it (``[FILE]`` need
    not be given, ``TEXT`` must). `handler` is ``room.method``; it gets `values`, and after them
    the argument as one text where the action takes one. `while_coming`: it may run while an
    answer comes in the conversation that is shown. `everywhere`: also while another screen lies
    on top of the conversation. `palette`: the command palette offers it. `place` is "" for keys of
    the whole window, "list" for those that mean this only while the list has the focus.
    """

    name: str
    about: str
    group: str
    handler: str
    values: tuple[int, ...] = ()
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


_ROWS: Final = (
    Action(
        "new",
        _("a new conversation"),
        CONVERSATIONS,
        "conversation.new",
        keys="ctrl+n",
        slash="new",
    ),
    Action(
        "list",
        _("the list of conversations: show it, go to it, put it away"),
        CONVERSATIONS,
        "chats.list",
        keys="ctrl+l",
        slash="list",
    ),
    Action(
        "search",
        _("search all conversations"),
        CONVERSATIONS,
        "chats.search",
        keys="ctrl+f",
        slash="search",
        argument="[WORDS]",
    ),
    Action(
        "rename",
        _("give this conversation a title"),
        CONVERSATIONS,
        "chats.rename",
        slash="rename",
        argument="TITLE",
    ),
    Action(
        "pin",
        _("pin this conversation on top, or let go of it"),
        CONVERSATIONS,
        "chats.pin",
        slash="pin",
    ),
    Action(
        "archive",
        _("archive this conversation, or take it back"),
        CONVERSATIONS,
        "chats.archive",
        slash="archive",
    ),
    Action(
        "delete",
        _("delete this conversation; /restore brings it back"),
        CONVERSATIONS,
        "chats.delete",
        slash="delete",
    ),
    Action(
        "restore",
        _("bring back the conversation that was deleted last"),
        CONVERSATIONS,
        "chats.restore",
        slash="restore",
    ),
    Action(
        "export",
        _("write this conversation to a file: md, json or jsonl"),
        CONVERSATIONS,
        "chats.export",
        slash="export",
        argument="[FORMAT] [FILE]",
    ),
    Action(
        "import",
        _("read conversations from a file of qchat's, or of lines of messages"),
        CONVERSATIONS,
        "chats.import_",
        slash="import",
        argument="FILE",
    ),
    Action(
        "retry",
        _("ask the last question again"),
        ANSWERS,
        "conversation.retry",
        keys="ctrl+r",
        slash="retry",
        while_coming=False,
    ),
    Action(
        "thinking",
        _("thinking: on, off, or as the server likes"),
        ANSWERS,
        "conversation.thinking",
        keys="ctrl+g",
        slash="thinking",
    ),
    Action(
        "thought",
        _("unfold or fold the thinking"),
        ANSWERS,
        "transcript.action_thought",
        keys="ctrl+t",
    ),
    Action(
        "page_up",
        _("scroll up"),
        MOVING,
        "transcript.action_page",
        (-1,),
        keys="pageup",
        palette=False,
    ),
    Action(
        "page_down",
        _("scroll down"),
        MOVING,
        "transcript.action_page",
        (1,),
        keys="pagedown",
        palette=False,
    ),
    Action(
        "message_before",
        _("to the message before"),
        MOVING,
        "transcript.action_message",
        (-1,),
        keys="alt+up",
        palette=False,
    ),
    Action(
        "message_after",
        _("to the message after"),
        MOVING,
        "transcript.action_message",
        (1,),
        keys="alt+down",
        palette=False,
    ),
    Action(
        "code_before",
        _("to the block of code before"),
        MOVING,
        "transcript.action_code",
        (-1,),
        keys="alt+left",
        palette=False,
    ),
    Action(
        "code_after",
        _("to the block of code after"),
        MOVING,
        "transcript.action_code",
        (1,),
        keys="alt+right",
        palette=False,
    ),
    Action(
        "bottom",
        _("to the end, and follow the answer"),
        MOVING,
        "transcript.action_end",
        keys="ctrl+end",
    ),
    Action(
        "copy_code",
        _("copy a block of code"),
        COPYING,
        "transcript.action_copy_code",
        keys="ctrl+b",
    ),
    Action(
        "copy_message",
        _("copy an answer as Markdown"),
        COPYING,
        "transcript.action_copy_message",
        keys="ctrl+o",
        slash="copy",
    ),
    Action(
        "editor",
        _("write in your own editor ($VISUAL, $EDITOR)"),
        WRITING,
        "composer.write_elsewhere",
        keys="alt+e",
        slash="editor",
    ),
    Action("unfold", _("unfold a pasted text in the field"), WRITING, "composer.unfold", keys="f2"),
    Action(
        "interrupt",
        _("copy what is selected; else stop the answer; twice: quit"),
        WINDOW,
        "app.interrupt",
        keys="ctrl+c",
        everywhere=True,
        palette=False,
    ),
    Action("leave", _("quit"), WINDOW, "app.leave", keys="ctrl+q", slash="quit", everywhere=True),
    Action(
        "palette",
        _("find an action or a conversation by some of its letters"),
        WINDOW,
        "app.palette",
        keys="ctrl+p",
        palette=False,
    ),
    Action(
        "theme",
        _("light, dark, high-contrast or no-color; without a name the next one"),
        WINDOW,
        "app.choose_theme",
        slash="theme",
        argument="[NAME]",
    ),
    Action(
        "help",
        _("the keys and the commands"),
        WINDOW,
        "app.show_help",
        keys="f1",
        slash="help",
        everywhere=True,
    ),
    Action(
        "list_rename",
        _("another title for the chosen one"),
        LIST,
        "chats.rename_here",
        keys="r",
        palette=False,
        place="list",
    ),
    Action(
        "list_pin",
        _("pin it on top, or let go of it"),
        LIST,
        "chats.pin",
        keys="p",
        palette=False,
        place="list",
    ),
    Action(
        "list_archive",
        _("archive it, or take it back"),
        LIST,
        "chats.archive",
        keys="a",
        palette=False,
        place="list",
    ),
    Action(
        "list_delete",
        _("delete it"),
        LIST,
        "chats.delete",
        keys="d,delete",
        palette=False,
        place="list",
    ),
    Action(
        "list_restore",
        _("bring back what was deleted last"),
        LIST,
        "chats.restore",
        keys="u",
        palette=False,
        place="list",
    ),
    Action(
        "list_archived",
        _("show the archived ones, or the others again"),
        LIST,
        "chats.show_archived",
        keys="v",
        palette=False,
        place="list",
    ),
)

ACTIONS: Final = {action.name: action for action in _ROWS}
SLASHES: Final = {action.slash: action for action in _ROWS if action.slash}
