"""The menu of commands: which of them a text that begins with a slash may become."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_word: Final = re.compile(r"/([^\W\d_][\w-]*)?").fullmatch


class CommandEntry(NamedTuple):
    """A command: its name without the slash, its arguments (``[FILE]``, ``TEXT``), and what it
    does."""

    name: str
    argument: str
    about: str

    @property
    def usage(self) -> str:
        """The command with its arguments: ``/rename TITLE``."""
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def completion(self) -> str:
        """What is inserted: a command that takes an argument ends in a space."""
        return f"/{self.name} " if self.argument else f"/{self.name}"


def typed_command(text: str, column: int) -> str | None:
    """Return the name typed so far, where a text is a slash and a name, and the cursor in it.

    None for any other text, such as ``//new``, a path, or a command with its argument.
    """
    match = _word(text)
    return None if match is None or not column else (match[1] or "").lower()


def matching_commands(entries: Sequence[CommandEntry], typed: str) -> Sequence[CommandEntry]:
    """Return the command that is typed, those that begin with it, then those that contain it.

    Nothing but its start is matched by a single letter.
    """
    beginning = [entry for entry in entries if entry.name.startswith(typed)]
    beginning.sort(key=lambda entry: entry.name != typed)
    if len(typed) < 2:
        return beginning
    return beginning + [entry for entry in entries if typed in entry.name[1:]]


def common_start(entries: Sequence[CommandEntry], typed: str) -> str:
    """Return the longest name with which all those begin that begin with what is typed."""
    names = [entry.name for entry in entries if entry.name.startswith(typed)]
    if not names:
        return typed
    first, last = min(names), max(names)
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first if length is None else first[:length]
