"""Parses slash commands."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

from ...errors import UsageError
from ...i18n import _
from .action import Action
from .table import SLASHES

_COMMAND = re.compile(r"/([^\W\d_][\w-]*)(?:\s+(.*))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """An action, and the argument of its command."""

    action: Action
    argument: str


@dataclass(frozen=True, slots=True)
class PromptCommand:
    """A system prompt to use from now on, and the question to send with it, which may be ''."""

    prompt: str
    question: str


def parse(text: str, prompts: Collection[str] = ()) -> SlashCommand | PromptCommand | str:
    """Return the command of a text, or the text to send, such as ``/new`` for ``//new``.

    `prompts` are the names of system prompts: each is a command where no action has its name. A
    path, and a text of several lines, are sent as they are, but for the question of a prompt.
    Raises `UsageError` for an unknown command, and for an argument that the command does not take.
    """
    escaped = text.startswith("//")
    match = _COMMAND.fullmatch(text[1:] if escaped else text)
    if match is None:
        return text
    name, argument = match[1].lower(), (match[2] or "").strip()
    action = SLASHES.get(name)
    prompt = None if action else next((one for one in prompts if one.lower() == name), None)
    if prompt is None and "\n" in text.strip():
        return text
    if escaped:
        return text[1:] if action or prompt else text
    if prompt is not None:
        return PromptCommand(prompt, argument)
    if action is None:
        near = difflib.get_close_matches(name, [*SLASHES, *prompts], n=1, cutoff=0.5)
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
