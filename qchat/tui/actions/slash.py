"""Slash commands: what a line that begins with / means."""

import difflib
import re
from dataclasses import dataclass

from ...errors import UsageError
from ...i18n import _
from .action import Action
from .table import SLASHES

_COMMAND = re.compile(r"/([A-Za-z][\w-]*)(?:[ \t]+(.*))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """An action, and what stood behind its command."""

    action: Action
    argument: str


def parse(text: str) -> SlashCommand | str:
    """The command in a text, or the text to send: ``//new`` is a plain ``/new``.

    Raises `UsageError` for what looks like a command and is none: sent a second time, it goes as
    text. A path, or several lines, are text at once.
    """
    escaped = text.startswith("//")
    found = _COMMAND.fullmatch(text[1:] if escaped else text)
    if found is None or "\n" in text.strip():
        return text
    name, argument = found[1].lower(), (found[2] or "").strip()
    action = SLASHES.get(name)
    if escaped:
        return text[1:] if action else text
    if action is None:
        near = difflib.get_close_matches(name, SLASHES, n=1, cutoff=0.5)
        hint = _(" Did you mean /{near}?").format(near=near[0]) if near else ""
        raise UsageError(
            _("There is no command /{name}.{hint} Enter again sends it as it is.").format(
                name=name, hint=hint
            )
        )
    if argument and not action.argument:
        raise UsageError(
            _("/{name} takes nothing behind it. Enter again sends it as it is.").format(name=name)
        )
    return SlashCommand(action, argument)
