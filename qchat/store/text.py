"""Text as the search sees it: what is indexed, how a question becomes a query, where the hits are.

Chinese, Japanese and Korean have no blanks between words: each character is indexed as a word of
its own, and a word is asked as a phrase of its characters. Other words are found by their
beginning from two characters on. Case and diacritics don't matter (FTS5's unicode61).
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from ..sanitize import clean, one_line

# Han with its extensions and compatibility forms, kana, bopomofo, hangul.
_CJK: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3040-\u30ff\u3100-\u312f\u3131-\u318e"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_one_cjk = re.compile(f"([{_CJK}])")
_is_cjk = re.compile(f"[{_CJK}]").match
_surrogates = re.compile("[\ud800-\udfff]")
_MARKS: Final = "\u0300-\u036f"  # combining diacritics, which the index drops
_has_marks = re.compile(f"[{_MARKS}]").search

_BEFORE: Final = 24  # characters of a snippet before the first hit
_SNIPPET: Final = 120  # characters of a snippet
_TITLE: Final = 60


def storable(text: str) -> str:
    """`text` as UTF-8 can hold it: a lone surrogate becomes U+FFFD."""
    return text if text.isascii() else _surrogates.sub("\ufffd", text)


def maybe_storable(text: str | None) -> str | None:
    """The same of a text that may be missing."""
    return None if text is None else storable(text)


def spaced(text: str) -> str:
    """What is indexed: words next to an escape sequence are words, too.

    A change of this function, or of `clean`, needs a migration that fills the index anew: a text
    is taken out of the index by giving it once more.
    """
    text = clean(text)
    return text if text.isascii() else _one_cjk.sub(r" \1 ", text)


def title_of(text: str) -> str:
    """A title made of the beginning of a question: its first line, cut at 60 characters."""
    line = one_line(text.strip()[:400].partition("\n")[0])
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the index. `terms` all have to be there, each as a phrase of its words.

    Where nothing in the question is a word (``->``, an emoji), `literal` is to be looked for as
    it stands, and `terms` is empty.
    """

    terms: tuple[tuple[str, ...], ...]
    literal: str = ""

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Words stand for themselves; what is in double quotes is a phrase. Never fails."""
        text = storable(text).replace("\0", " ")
        parts = text.split('"')
        phrases: list[str] = []
        for i, part in enumerate(parts):
            closed = i % 2 and i < len(parts) - 1
            phrases += [part] if closed else part.split()
        terms = tuple(tokens for phrase in phrases if (tokens := _tokens(phrase)))
        return cls(terms) if terms else cls((), text.strip())

    def for_fts(self) -> str:
        """The MATCH expression."""
        return " AND ".join(
            '"{}"{}'.format(" ".join(tokens), "*" if _open_ended(tokens) else "")
            for tokens in self.terms
        )


def _tokens(phrase: str) -> tuple[str, ...]:
    return tuple("".join(c if _in_word(c) else " " for c in spaced(phrase)).split())


def _in_word(character: str) -> bool:
    # As unicode61 has it: letters, numbers, private use; combining diacritics don't end a word.
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co" or bool(_has_marks(character))


def _open_ended(tokens: tuple[str, ...]) -> bool:
    return len(tokens[-1]) > 1 and not _is_cjk(tokens[-1])


class _Folder(dict[int, str]):
    """Each character in lower case without its diacritic, one for one."""

    def __missing__(self, code: int) -> str:
        base = unicodedata.normalize("NFD", chr(code))[0].lower()
        self[code] = base if len(base) == 1 else chr(code)
        return self[code]


@dataclass(frozen=True, slots=True)
class Marker:
    """Finds in a text what a query found in the index."""

    pattern: "re.Pattern[str] | None"
    folder: _Folder

    @classmethod
    def of(cls, query: Query) -> "Marker":
        """The marker for a query."""
        folder = _Folder()
        patterns = [_pattern(tokens, folder) for tokens in query.terms]
        if query.literal:
            patterns = [re.escape(query.literal.translate(folder))]
        # The longest first: of two hits that begin at one place the longer is marked.
        patterns.sort(key=len, reverse=True)
        return cls(re.compile("|".join(patterns)) if patterns else None, folder)

    def marks(self, text: str) -> tuple[tuple[int, int], ...]:
        """Where the hits are, as (start, end), in order and apart."""
        if self.pattern is None:
            return ()
        return tuple(m.span() for m in self.pattern.finditer(text.translate(self.folder)))

    def snippet(self, text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
        """One safe line around the first hit, and the hits in it."""
        text = clean(text)
        match = self.pattern and self.pattern.search(text.translate(self.folder))
        start = max(0, match.start() - _BEFORE) if match else 0
        piece = one_line(text[start : start + 2 * _SNIPPET])[:_SNIPPET]
        if start:
            piece = "…" + piece
        if start + 2 * _SNIPPET < len(text):
            piece += "…"
        return piece, self.marks(piece)


def _pattern(tokens: tuple[str, ...], folder: _Folder) -> str:
    letters = []
    for word in tokens:
        folded = _drop_marks(word.translate(folder))
        letters.append(f"[{_MARKS}]*".join(map(re.escape, folded)))
    # Between the words of a phrase stands whatever the index takes for no word.
    pattern = r"[\W_]*".join(letters)
    if not _is_cjk(tokens[0]):
        pattern = rf"(?<![^\W_{_CJK}])" + pattern
    if not _is_cjk(tokens[-1]):
        pattern += rf"(?:[^\W_{_CJK}]|[{_MARKS}])*" if _open_ended(tokens) else rf"(?![^\W_{_CJK}])"
    return pattern


def _drop_marks(word: str) -> str:
    return re.sub(f"[{_MARKS}]", "", word)
