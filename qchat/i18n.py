"""Texts for people. Every one goes through `_`, so that another language is a catalogue.

Format after translating: ``_("{n} rows").format(n=3)``; an f-string inside `_` can't be translated.

A process has one language, chosen when the first text is needed: some texts (help, tables of
actions) are translated while modules are imported.
"""

import functools
import gettext
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .locations import Paths

ENGLISH = "en"
CHINESE = "zh_CN"
LANGUAGES = (ENGLISH, CHINESE)
VARIABLE = "QCHAT_LANG"

_LOCALE_DIR = Path(__file__).parent / "locale"
_SAMPLE = "中"  # a character that a stream must be able to write


def match_language(name: str) -> str | None:
    """The language of `LANGUAGES` that a name such as ``zh``, ``zh-Hans`` or ``en_US.UTF-8`` asks
    for; None where there is none.

    Every Chinese locale gets Simplified Chinese, those of Taiwan and Hong Kong too: their readers
    read it with less effort than English.
    """
    code = name.strip().lower().replace("-", "_").partition(".")[0].partition("@")[0]
    primary = code.partition("_")[0]
    if primary == "zh":
        return CHINESE
    return ENGLISH if primary == "en" or code in ("c", "posix") else None


def choose_language(environ: Mapping[str, str] = os.environ) -> str:
    """The language that QCHAT_LANG, the `language` setting or the locale asks for, in this order;
    English where none asks for one that there is."""
    for name in (environ.get(VARIABLE), _setting(environ)):
        if name and (language := match_language(name)):
            return language
    return _of_locale(environ) or ENGLISH


@functools.cache
def language() -> str:
    """The language of this process. English where its output can't be written in Chinese."""
    chosen = choose_language()
    for stream in (sys.stdout, sys.stderr):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            _SAMPLE.encode(encoding)
        except (UnicodeError, LookupError):
            return ENGLISH
    return chosen


def _setting(environ: Mapping[str, str]) -> str | None:
    """`language` in config.toml. `qchat.settings` checks the file; here errors are no one's."""
    try:
        raw = Paths.find(environ).config_file.read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    if b"language" not in raw:  # most files: tomllib takes longer than reading the file
        return None
    import tomllib

    try:
        value = tomllib.loads(raw.decode("utf-8-sig")).get("language")
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _of_locale(environ: Mapping[str, str]) -> str | None:
    """The language of the locale; LANGUAGE lists others to prefer, except to C (as in gettext)."""
    names = (environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, names), "")
    if not locale or locale.partition(".")[0] in ("C", "POSIX"):
        return None
    for name in (*environ.get("LANGUAGE", "").split(":"), locale):
        if name and (chosen := match_language(name)):
            return chosen
    return None


@functools.cache
def _catalogue() -> gettext.NullTranslations:
    if language() == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation("qchat", _LOCALE_DIR, [language()], fallback=True)


def _(text: str | None) -> str:
    """`text` in the language of the process.

    Also of what the system says, `error.strerror`: `system_messages` has its texts.
    """
    # The catalogue's head stands under the empty text.
    return _catalogue().gettext(text) if text else ""


def sentence_gap() -> str:
    """What stands between two sentences: a space, but nothing after a full-width stop."""
    return " " if language() == ENGLISH else ""


def comma() -> str:
    """What stands between the parts of a list in a sentence."""
    return ", " if language() == ENGLISH else "，"


def in_brackets(text: str) -> str:
    """`text` in the brackets that follow a word: after a space, but full-width ones without it."""
    return f" ({text})" if language() == ENGLISH else f"（{text}）"


def N_(text: str) -> str:  # noqa: N802  (the name that translators know)
    """`text` as it is, but in the catalogue: for a table whose texts are translated later."""
    return text


def plural(one: str, many: str, n: int) -> str:
    """The form of `one`/`many` that fits the number `n` in the language of the process."""
    return _catalogue().ngettext(one, many, n)
