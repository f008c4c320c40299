"""The entries of the composer's menu of commands."""

from collections.abc import Iterable, Sequence

from ...i18n import _
from ..composer.command_menu import CommandEntry
from .action import GROUPS
from .table import SLASHES


def command_entries(prompts: Iterable[str]) -> Sequence[CommandEntry]:
    """Return the commands of all actions in the order of the help, then those of the prompts."""
    actions = sorted(SLASHES.values(), key=lambda action: GROUPS.index(action.group))
    entries = [CommandEntry(one.slash, one.argument, one.about) for one in actions]
    return entries + [
        CommandEntry(
            name.lower(), _("[QUESTION]"), _("use your system prompt {name}").format(name=name)
        )
        for name in prompts
        if " " not in name and "." not in name and name.lower() not in SLASHES
    ]
