"""Texts for people. Every one goes through `_`, so that another language is a catalogue away.

Format after translating: ``_("{n} rows").format(n=3)``; an f-string inside `_` can't be translated.
"""

import functools
import gettext
from pathlib import Path

_LOCALE_DIR = Path(__file__).parent / "locale"


@functools.cache
def _catalogue() -> gettext.NullTranslations:
    return gettext.translation("qchat", localedir=_LOCALE_DIR, fallback=True)


def _(text: str) -> str:
    """`text` in the language of the environment (LANGUAGE, LC_ALL, LC_MESSAGES, LANG)."""
    return _catalogue().gettext(text)


def plural(one: str, many: str, n: int) -> str:
    """The form of `one`/`many` that fits the number `n` in the language of the environment."""
    return _catalogue().ngettext(one, many, n)
