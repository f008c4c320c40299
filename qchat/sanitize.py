r"""Make model text safe to put on a terminal, in a log, an export or a report.

Model text is data. What a terminal, a pager or a viewer would take for a command never leaves
this file; everything else passes unchanged. What happens to what:

===========================================  =====================================================
in the text                                  in the output
===========================================  =====================================================
tab, newline                                 unchanged
CR LF, a lone CR, U+2028, U+2029             newline
a whole escape sequence (CSI, OSC, DCS,      dropped, also when it is split over chunks
SOS, PM, APC, two-character ESC)
ESC that starts no whole sequence            ␛ (U+241B), and what follows is ordinary text
other C0 controls, DEL                       their control pictures: NUL is ␀, BEL is ␇, DEL is ␡
C1 controls (U+0080 to U+009F)               U+FFFD each
lone surrogates                              U+FFFD each
tag characters (U+E0000 to U+E007F)          U+FFFD each, except in the flag of a subdivision
                                             (England, Scotland, Wales, …), which is unchanged
bidi embeddings, overrides and isolates      dropped: the text then reads in its logical order
(U+202A to U+202E, U+2066 to U+2069)
U+206A to U+206F, U+FFF9 to U+FFFB, U+FEFF   dropped: deprecated, annotation, byte order mark
===========================================  =====================================================

Kept on purpose: LRM, RLM and ALM (U+200E, U+200F, U+061C), which Arabic and Hebrew texts need
beside punctuation and which can't reorder letters; ZWJ, ZWNJ and variation selectors, which emoji
and Indic and CJK texts need; every other space, mark and letter.

A C1 control starts no sequence here: U+009D alone is far more often a Windows-1252 quotation mark
than an OSC, and with its first character gone the rest is harmless text.

An escape sequence that does not end is not waited for without bound: a string sequence (OSC and
the like) ends within ``MAX_STRING`` characters and on its line, a CSI within ``MAX_PARAMETERS``
parameter characters. Where it does not, its ESC is shown as ␛ and the rest as text, so that
nothing is swallowed. The work is linear in the length of the text.
"""

from __future__ import annotations

import functools
import re
from typing import Final

__all__ = ["MAX_PARAMETERS", "MAX_STRING", "Sanitizer", "clean", "one_line"]

MAX_STRING: Final = 1024
"""Longest body of an OSC, DCS, SOS, PM or APC string that is still dropped, in characters."""

MAX_PARAMETERS: Final = 64
"""Most parameter characters of a CSI sequence that is still dropped."""

_TAG_LETTERS = "\U000e0030-\U000e0039\U000e0061-\U000e007a"
_BLACK_FLAG = "\U0001f3f4"
_CANCEL_TAG = "\U000e007f"

# Written as escapes: this class is what the file is about, and must be readable in a diff.
_UNSAFE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)

# One pass over ordinary text ends here: nothing found, nothing to do.
_suspect = re.compile(f"[{_UNSAFE}]").search

_STRING_BODY = rf"[^\x07\x0a\x0d\x18\x1a\x1b\x9c]{{0,{MAX_STRING}}}+"
_CSI_BODY = rf"[0-?]{{0,{MAX_PARAMETERS}}}+[ -/]{{0,8}}+"

# Possessive repeats (`+` after the braces) keep a failed match from being tried again shorter.
_SEQUENCE = (
    rf"\x1b\[{_CSI_BODY}[@-~]"
    rf"|\x1b[\]PX^_]{_STRING_BODY}(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]{1,8}+[0-~]"
    r"|\x1b[0-OQ-WYZ\\`-~]"
)
# What may still become a sequence, a CR LF or a flag once the next chunk is here.
_UNFINISHED = (
    rf"\x1b(?:\[{_CSI_BODY}|[\]PX^_]{_STRING_BODY}\x1b?+|[ -/]{{0,8}}+)\Z"
    r"|\r\Z"
    rf"|{_BLACK_FLAG}[{_TAG_LETTERS}]{{0,6}}+\Z"
)
_FLAG = rf"{_BLACK_FLAG}[{_TAG_LETTERS}]{{3,6}}+{_CANCEL_TAG}"


# Each takes a while to compile, and most text needs neither.
@functools.cache
def _whole() -> re.Pattern[str]:
    return re.compile(rf"(?P<drop>{_SEQUENCE})|\r\n?|(?P<keep>{_FLAG})|[{_UNSAFE}]")


@functools.cache
def _chunk() -> re.Pattern[str]:
    return re.compile(
        rf"(?P<drop>{_SEQUENCE})|(?P<open>{_UNFINISHED})|\r\n?|(?P<keep>{_FLAG})|[{_UNSAFE}]"
    )


_chunk_end = re.compile(rf"{_BLACK_FLAG}\Z").search


def _visible(character: str) -> str:
    """The visible stand-in of one unsafe character, or an empty string."""
    code = ord(character[0])
    if code == 0x0D or code in (0x2028, 0x2029):
        return "\n"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code <= 0x9F or 0xD800 <= code <= 0xDFFF or code >= 0xE0000:
        return "\ufffd"
    return ""


def _replace(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "drop":
        return ""
    return match[0] if kind == "keep" else _visible(match[0])


def clean(text: str) -> str:
    """The whole text with everything unsafe dropped or made visible.

    ``clean(clean(text)) == clean(text)``, and text without an unsafe character is returned as is.
    """
    return _whole().sub(_replace, text) if _suspect(text) else text


def one_line(text: str) -> str:
    """``clean`` for a title, a name or a message: every run of white space is one space."""
    return " ".join(clean(text).split())


class Sanitizer:
    """``clean`` for text that comes in chunks.

    The outputs of every ``feed`` and of ``finish``, joined, are ``clean`` of the chunks joined,
    however the text was cut. At most about ``MAX_STRING`` characters are buffered: those of a
    sequence that has not ended yet. One object serves one answer; after ``finish`` it is new.
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, chunk: str) -> str:
        """What can be shown now, given this chunk and what was buffered."""
        if self._pending:
            chunk = self._pending + chunk
            self._pending = ""
        elif not _suspect(chunk) and not _chunk_end(chunk):
            return chunk
        return _chunk().sub(self._replace, chunk)

    def finish(self) -> str:
        """The rest, once the last chunk has been fed."""
        rest, self._pending = self._pending, ""
        return clean(rest)

    def _replace(self, match: re.Match[str]) -> str:
        if match.lastgroup == "open":
            self._pending = match[0]
            return ""
        return _replace(match)
