"""The commands of documents, in their order, and the marks that say how they are run.

A mark is a comment of HTML in the lines right above a block of commands; nobody sees it on a page:

    <!-- not run: REASON -->        the whole block
    <!-- not run 2 3: REASON -->    these of its commands, counted from 1
    <!-- Ctrl-C 1: WORDS -->        a command that runs on: ended once these words are shown
    <!-- exit 1 of 2: REASON -->    command 2 ends with 1, not with 0
    <!-- before: COMMAND -->        what a reader has done before, and the page does not show
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"((?:^<!-- [^\n]* -->\n)*)^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|Ctrl-C|exit|before)([\d of]*): (.+) -->")
_COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `words` end it, where it runs on; `exit_code` is what it ends with; `reason` is
    why it is not run, empty where it is."""

    text: str
    line: int
    words: str = ""
    exit_code: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Marks:
    block: str = ""
    reasons: dict[int, str] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    codes: dict[int, int] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)

    def add(self, kind: str, numbers: list[int], text: str) -> None:
        if kind == "before":
            self.before.append(text)
        elif kind == "exit":
            code, number = numbers
            self.codes[number] = code
        elif kind == "Ctrl-C":
            self.words |= dict.fromkeys(numbers, text)
        elif numbers:
            self.reasons |= dict.fromkeys(numbers, text)
        else:
            self.block = text


def commands_of(page: Path) -> list[Command]:
    """Return the commands of a page in their order. Raises `ValueError` for a mark that is none."""
    text = page.read_text("utf-8")
    commands: list[Command] = []
    for block in _BLOCK.finditer(text):
        marks = _Marks()
        for line in block[1].splitlines():
            mark = _MARK.fullmatch(line)
            if mark is None:
                if line.startswith(("<!-- not run", "<!-- Ctrl-C", "<!-- exit", "<!-- before")):
                    raise ValueError(f"{page}: {line}")
                continue
            marks.add(mark[1], [int(number) for number in re.findall(r"\d+", mark[2])], mark[3])
        at = text.count("\n", 0, block.start(2)) + 1
        commands += [Command(one, at) for one in marks.before]
        found = list(_COMMAND.finditer(block[2]))
        named = marks.reasons.keys() | marks.words.keys() | marks.codes.keys()
        if not named <= set(range(1, len(found) + 1)):
            raise ValueError(f"{page}:{at}: a mark of a command that is not there")
        for number, match in enumerate(found, 1):
            commands.append(
                Command(
                    match[1],
                    at + block[2].count("\n", 0, match.start()),
                    marks.words.get(number, ""),
                    marks.codes.get(number, 0),
                    marks.block or marks.reasons.get(number, ""),
                )
            )
    return commands
