"""Makes `symbols.txt`, commands that stand for one character, from two libraries that keep them.

    pip install unicodeit==0.7.5 pylatexenc==2.11
    python -m qchat.tui.markdown.formulas.symbol_table

unicodeit's names (MIT; in part from Günter Milde's unimathsymbols, LPPL) come first, then those
that pylatexenc (MIT) has besides. Only a fact is taken: which command is which character. What
`symbols.py` names itself wins over the file.
"""

import importlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).with_name("symbols.txt")

_match_command = re.compile(r"\\([A-Za-z]+)$").match


def unicodeit_pairs() -> Iterator[tuple[str, str]]:
    """Yield the commands of unicodeit without arguments, each with its text."""
    data = importlib.import_module("unicodeit.data")
    for command, text in data.REPLACEMENTS:
        if match := _match_command(command):
            yield match[1], text


def pylatexenc_pairs() -> Iterator[tuple[str, str]]:
    """Yield the commands of pylatexenc that are replaced by a fixed text."""
    specifications = importlib.import_module("pylatexenc.latex2text")
    database = specifications.get_default_latex_context_db()
    for category in ("latex-base", "advanced-symbols"):
        for name, macro in database.d[category]["macros"].items():
            if name.isalpha() and name.isascii() and isinstance(macro.simplify_repl, str):
                yield name, macro.simplify_repl


def is_symbol(text: str) -> bool:
    """Whether a text is one character that can stand alone on a terminal."""
    return len(text) == 1 and text.isprintable() and not unicodedata.combining(text) and text != " "


def main() -> None:
    """Write the file."""
    table: dict[str, str] = {}
    for name, text in (*unicodeit_pairs(), *pylatexenc_pairs()):
        if is_symbol(text):
            table.setdefault(name, text)
    FILE.write_text("".join(f"{name} {table[name]}\n" for name in sorted(table)), "utf-8")


if __name__ == "__main__":
    main()
