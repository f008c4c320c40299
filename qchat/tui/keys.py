"""One table of what keys do: the bindings and the help come from it."""

from dataclasses import dataclass

from textual.binding import Binding

from ..i18n import _


@dataclass(frozen=True, slots=True)
class Key:
    """Keys as Textual names them, the action, and what a person reads."""

    keys: str
    action: str
    shown: str
    about: str


KEYS: tuple[Key, ...] = (
    Key("ctrl+c", "interrupt", "Ctrl+C", _("stop the answer; copy what is selected; twice: quit")),
    Key("ctrl+q", "leave", "Ctrl+Q", _("quit")),
    Key("ctrl+n", "new", "Ctrl+N", _("a new conversation")),
    Key("ctrl+r", "retry", "Ctrl+R", _("ask the last question again")),
    Key("ctrl+t", "thought", "Ctrl+T", _("unfold or fold the thinking")),
    Key("f2", "unfold", "F2", _("unfold a pasted text in the field")),
    Key("ctrl+g", "thinking", "Ctrl+G", _("thinking: on, off, or as the server likes")),
    Key("pageup", "page(-1)", "PgUp", _("scroll up")),
    Key("pagedown", "page(1)", "PgDn", _("scroll down")),
    Key("alt+up", "message(-1)", "Alt+Up", _("to the message before")),
    Key("alt+down", "message(1)", "Alt+Down", _("to the message after")),
    Key("alt+left", "code(-1)", "Alt+Left", _("to the block of code before")),
    Key("alt+right", "code(1)", "Alt+Right", _("to the block of code after")),
    Key("ctrl+end", "bottom", "Ctrl+End", _("to the end, and follow the answer")),
    Key("ctrl+b", "copy_code", "Ctrl+B", _("copy a block of code")),
    Key("ctrl+o", "copy_message", "Ctrl+O", _("copy an answer as Markdown")),
    Key("f1", "help", "F1", _("these keys, or back")),
)


def bindings() -> list[Binding]:
    """The table as Textual's bindings; they win over those of the field that has the focus."""
    return [Binding(key.keys, key.action, show=False, priority=True) for key in KEYS]


def help_text() -> str:
    """The table as Markdown."""
    rows = "\n".join(f"| {key.shown} | {key.about} |" for key in KEYS)
    about = _(
        "Enter sends, Shift+Enter or Ctrl+J begins a new line (`[tui] enter` in the settings turns "
        "Enter and Ctrl+J round). @ and the name of a text file attach it; Up and Down at the "
        "edges of the field bring earlier questions. Drag with the mouse to select: a whole "
        "paragraph is copied as Markdown, a part as its words. Two clicks take a word, three a "
        "paragraph. Tab goes to the conversation and back."
    )
    return f"## {_('Keys')}\n\n{about}\n\n| {_('Key')} | {_('does')} |\n|---|---|\n{rows}\n"
