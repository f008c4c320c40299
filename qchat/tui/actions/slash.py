"""Parses slash commands."""

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
    """An action, and the argument of its command."""

    action: Action
    argument: str


def parse(text: str) -> SlashCommand | str:
    """Return the command of a text, or the text to send, such as ``/new`` for ``//new``.

    A path, and a text of several lines, are sent as they are. Raises `UsageError` for an unknown
    command, and for an argument that the command does not take.
    """
    escaped = text.startswith("//")
    match = _COMMAND.fullmatch(text[1:] if escaped else text)
    if match is None or "\n" in text.strip():
        return text
    name, argument = match[1].lower(), (match[2] or "").strip()
    action = SLASHES.get(name)
    if escaped:
        return text[1:] if action else text
    if action is None:
        near = difflib.get_close_matches(name, SLASHES, n=1, cutoff=0.5)
        hint = _(" Did you mean /{near}?").format(near=near[0]) if near else ""
        raise UsageError(
            _("There is no command /{name}.{hint} Press Enter again to send it as text.").format(
                name=name, hint=hint
            )
        )
    if argument and not action.argument:
        raise UsageError(
            _("/{name} takes no argument. Press Enter again to send it as text.").format(name=name)
        )
    return SlashCommand(action, argument)
