"""How help is laid out: click's form, with every width in cells instead of characters.

A paragraph that begins with a line of ``\\b`` keeps its lines.
"""

import re
from collections.abc import Iterable, Iterator

import click

from .cells import pad, visible_width, width, wrap
from .i18n import _, sentence_gap

_punctuation = re.compile("[、。，：；？！（）“”]")  # Chinese alone; a quote in English is straight


class CellHelpFormatter(click.HelpFormatter):
    """Click's formatter for texts whose characters take one cell or two."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line; its arguments are indented to their first."""
        if prefix is None:
            prefix = _("Usage:") + sentence_gap()
        head = f"{prefix}{prog} "
        indent = visible_width(head)
        if self.width - indent < 20:  # too little for the arguments
            self.write(f"{head.rstrip()}\n")
            head, indent = " " * 4, 4
        lines = list(wrap(args, self.width - indent)) or [""]
        self.write(f"{head}{lines[0]}".rstrip() + "\n")
        for line in lines[1:]:
            self.write(f"{' ' * indent}{line}\n")

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        self.write(f"{' ' * self.current_indent}{_('{heading}:').format(heading=heading)}\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs, wrapped but for those marked with ``\\b``."""
        indent = " " * self.current_indent
        paragraphs = list(_wrapped_paragraphs(text, self.width - self.current_indent))
        self.write("\n\n".join("\n".join(indent + line for line in p) for p in paragraphs) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write a list of terms (the first column) with what they mean."""
        rows = list(rows)
        widest = max((visible_width(term) for term, _text in rows), default=0)
        column = min(widest, col_max) + col_spacing
        indent = " " * self.current_indent
        text_width = max(self.width - column - 2, 10)
        for term, text in rows:
            paragraphs = list(_wrapped_paragraphs(text, text_width))
            lines = "\n\n".join("\n".join(p) for p in paragraphs).splitlines()
            if not lines:
                self.write(f"{indent}{term}\n")
                continue
            if visible_width(term) <= column - col_spacing:
                self.write(f"{indent}{pad(term, column)}{lines.pop(0)}\n")
            else:
                self.write(f"{indent}{term}\n")
            for line in lines:
                self.write(f"{indent}{' ' * column}{line}\n")


def _wrapped_paragraphs(text: str, columns: int) -> Iterator[list[str]]:
    for paragraph in _paragraphs(text.expandtabs()):
        if paragraph[0].strip() == "\b":
            if paragraph[1:]:
                yield paragraph[1:]
            continue
        first = paragraph[0]
        indent = " " * (len(first) - len(first.lstrip()))
        joined = _joined([first.lstrip(), *paragraph[1:]])
        yield [indent + line for line in wrap(joined, columns - len(indent))]


def _joined(lines: list[str]) -> str:
    """One line of several. Chinese has no space where a line of the source ends, neither between
    two wide characters nor beside full-width punctuation."""
    text = lines[0]
    for line in lines[1:]:
        last, first = text[-1:], line[:1]
        both_wide = width(last) == width(first) == 2
        text += (
            line
            if both_wide or _punctuation.match(last) or _punctuation.match(first)
            else f" {line}"
        )
    return text


def _paragraphs(text: str) -> Iterator[list[str]]:
    lines: list[str] = []
    for line in text.splitlines():
        if line:
            lines.append(line)
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


def install() -> None:
    """Lay out the help of every command so."""
    click.Context.formatter_class = CellHelpFormatter
