"""Characters as a person sees them: what one Backspace deletes, and what no line end cuts."""

import unicodedata
from collections.abc import Iterator
from typing import Final

from rich.cells import split_graphemes


def graphemes(text: str) -> Iterator[tuple[int, int]]:
    """Yield the length and the width in cells of each character as a person sees it.

    Rich cuts flags (two regional indicators), emoji with a joiner, skin tones, syllables of Indic
    scripts, of Thai and of Korean written in parts; here they stay whole.
    """
    length = cells = 0
    for left, right, part_cells in split_graphemes(text)[0]:
        part = text[left:right]
        before = text[left - length : left]
        is_flag = _is_indicator(part) and len(before) == 1 and _is_indicator(before)
        joins = before.endswith("\u200d") or part[0] == "\u200d" or _is_skin_tone(part)
        joins = joins or _is_one_syllable(before, part[0])
        if length and not is_flag and not joins:
            yield length, cells
            length = cells = 0
        if not (length and _is_skin_tone(part)):
            cells += part_cells
        length += right - left
    if length:
        yield length, cells


def grapheme_start(text: str, column: int) -> int:
    """Return where the character before `column` begins; 0 at the start of the text."""
    start = 0
    for length, _cells in graphemes(text[:column]):
        end = start + length
        if end >= column:
            return start
        start = end
    return start


def grapheme_end(text: str, column: int) -> int:
    """Return where the character that begins at `column` ends."""
    first = next(graphemes(text[column : column + _LONGEST]), None)
    return column + (first[0] if first is not None else 0)


_LONGEST = 64  # code points of one character; a family of emoji has about a dozen


_AM: Final = "\u0e33\u0eb3"  # vowels of Thai and Lao that are written on and after a letter
_LINKERS: Final = frozenset(
    "\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u1a60\u1b44\u1bab\ua9c0\uaaf6"
)
"""Unicode's Indic_Conjunct_Break=Linker: the letters on both sides are one."""


def _is_one_syllable(before: str, letter: str) -> bool:
    """Whether a letter continues what stands before it: rules GB6 to GB9c of Unicode's UAX 29."""
    if letter.isascii() or not before:
        return False
    if letter in _AM:
        return True
    return _is_conjunct(before, letter) or _continues_hangul(before[-1], letter)


def _is_conjunct(before: str, letter: str) -> bool:
    """Whether a linker stands before a letter of its script, with nothing but marks between."""
    if unicodedata.category(letter) != "Lo":
        return False
    for character in reversed(before):
        if character in _LINKERS:
            return abs(ord(letter) - ord(character)) < 256
        if character != "\u200d" and unicodedata.category(character) != "Mn":
            return False
    return False


def _continues_hangul(before: str, letter: str) -> bool:
    """Whether a part of a Korean syllable (a vowel, or the end) stands after one that it fits."""
    if "\u1160" <= letter <= "\u11a7":
        is_open = "\uac00" <= before <= "\ud7a3" and (ord(before) - 0xAC00) % 28 == 0
        return "\u1100" <= before <= "\u11a7" or is_open
    if "\u11a8" <= letter <= "\u11ff":
        return "\u1160" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    return "\u1100" <= letter <= "\u115f" and "\u1100" <= before <= "\u115f"


def _is_indicator(text: str) -> bool:
    return "\U0001f1e6" <= text <= "\U0001f1ff"


def _is_skin_tone(text: str) -> bool:
    return "\U0001f3fb" <= text[0] <= "\U0001f3ff"
