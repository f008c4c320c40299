r"""Tells the text of a formula from what else stands between two dollar signs: prose, money, shell
variables. All of it goes by the text alone, since any of them may stand in any language."""

import functools
import re
from typing import Final

from .formulas.lexer import stripped

_LETTER: Final = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_has_cjk: Final = re.compile(f"[{_LETTER}]").search
_has_cjk_mark: Final = re.compile("[，。；：！？“”‘’…]").search
_has_relation: Final = re.compile(
    rf"\\[A-Za-z]|[=<>≤≥≠≈+×÷]|\S\^|\S_[{{{_LETTER}]|\b[A-Z]\("
).search
_has_sentence_end: Final = re.compile("[。！？]|[，；：].*[，；：]").search

_FUNCTIONS: Final = (
    "(?!(?:arg|cos|cosh|cot|csc|deg|det|dim|div|exp|gcd|inf|ker|lcm|lim|ln|log|max|min|mod|rank|"
    r"sec|sgn|sin|sinh|sup|tan|tanh)\b)"
)
_WORD: Final = rf"\b{_FUNCTIONS}[A-Za-z]"
_has_adjacent_words: Final = re.compile(rf"{_WORD}{{2,}}[ \n,.;:]+{_WORD}{{2,}}").search
_has_four_words: Final = re.compile(r"(?:\b[A-Za-z]+[ ,;:]+){3}[A-Za-z]").search
_has_tex: Final = re.compile(r"[\\^_={}]").search  # a command, script, group or equation
_has_operator: Final = re.compile(r"[<>*/|]").search
_has_word: Final = re.compile(rf"{_WORD}{{2,}}\b").search
_has_long_word: Final = re.compile(rf"{_WORD}[A-Za-z]*[a-z]{{3}}\b").search
_has_path: Final = re.compile(r"(?<!\S)[~.]{0,2}/\w{2}").search
_is_word: Final = re.compile(rf"{_WORD}[a-z]{{3,}}$").match
_has_unit: Final = re.compile(
    rf"(?:\s|[-–~/]\s*(?=[A-Za-z]{{3}})){_WORD}{{2,}}\b"
).search  # "5 or", "5/month"
_ends_clause: Final = re.compile(r"\d[\d,.]*\s*(?:[。；！？]|[，、：]\s*[^\d\s])").match
_has_math: Final = re.compile(r"[\\^_={}<>+*/|]|\d|^\W*\w(?:\W+\w)*\W*$|^[A-Z]{2,4}$").search

_is_sum_cut: Final = re.compile(r".*(?<!\^)[+*-]$", re.DOTALL).match
_is_identifier: Final = re.compile(r"\w{2,}$").match
_starts_amid_text: Final = re.compile(
    r"['\",;!?)，。；：！？、）】》”’…]|:(?!=)|\{[A-Za-z_]\w+\}"
).match
_ends_amid_text: Final = re.compile(r"[/–(\"&@、（]$|[^^]-$|^\w{2,}[=:.]$|^\w{3,}\+$").search
_ends_in_comma: Final = re.compile("[,;:，。；：！？]$").search
_is_joined: Final = re.compile(r".*(?<!\^)[=:.+*]$", re.DOTALL).match
_is_suffix: Final = re.compile(r"(?:th|st|nd|rd|s|D|NN)(?![A-Za-z0-9_$])").match
_has_number_at_start: Final = re.compile(
    r"^[^\S\n]*\\\(\d{1,3}\\\)(?=\s|[^\W\d_])", re.MULTILINE
).search
_LONGEST_PARENTHESIS: Final = 200  # characters
_starts_script: Final = re.compile(r"\\|\^|_[{\d]").match


def is_inline_formula(source: str, before: str, after: str) -> bool:
    """Whether what stands between two single dollar signs is a formula.

    `before` is the character before the first, `after` the text after the second. A variable or a
    price begins right after its sign: a sign with a letter or a digit after it begins one of those,
    and ends no formula.
    """
    text = stripped(source)
    if (before.isascii() and before.isalnum() and not _starts_script(text)) or "](" in text:
        return False
    is_even = source[0].isspace() == source[-1].isspace() or source == text
    if not (is_even or _is_surely_tex(source)) or _begins_variable(text, after):
        return False
    if _is_part_of_text(text) or _is_cjk_prose(text) or _is_price(text):
        return False
    if is_even and source[0].isspace():  # "$ x $", as Qwen writes it
        is_money = text[0].isdigit() and bool(_has_cjk(text)) and "\\" not in text
        is_cut = (source[0] == "\n") != (source[-1] == "\n") or _is_sum_cut(text)
        return bool(_has_math(text)) and not (is_cut or is_money or is_prose(text))
    return True


def _is_surely_tex(source: str) -> bool:
    r"""Whether a source with a blank on one side alone is a formula: ``$\frac{1}{2} $``."""
    text = source.strip()
    outside = _outside_groups(text)
    is_tex = text[0] == "\\" and text[1:2].isalpha() and "\n" not in source
    is_whole = text.count("{") == text.count("}")
    return is_tex and is_whole and not (_has_cjk(outside) or _has_adjacent_words(outside))


def is_display_formula(source: str) -> bool:
    """Whether what stands between two double dollar signs is a formula: `$$` is a number of a
    process, too."""
    text = source.strip()
    if _starts_amid_text(text) or _ends_amid_text(text) or is_prose(text):
        return False
    is_uneven = source[0].isspace() and not source[-1].isspace()
    if text.endswith("=") and (is_uneven or _has_word(text)):
        return False  # "a=$$ b=$$"
    if not any(map(str.isalnum, text)):
        return False
    is_word = text.isalpha() and (text.isupper() or source == text)
    return bool(_has_math(text)) or is_word


def opens_display_formula(text: str) -> bool:
    """Whether the rest of a line may be the first line of a formula after a double dollar sign."""
    return not _starts_amid_text(text) and not is_prose(text) and bool(_has_math(text))


def is_prose(text: str) -> bool:
    """Whether a text is prose in any language, and so no formula."""
    if _is_cjk_prose(text):
        return True
    if _has_tex(text):
        return False
    if _has_adjacent_words(text):
        return True
    if "+" in text or _has_operator(text):
        return "+" not in text and bool(_has_long_word(text) or _has_path(text))
    return len(text.split()) > 1 and bool(_has_word(text))


def is_sentence(line: str) -> bool:
    """Whether a line within a formula can only be prose: some formulas have words in them."""
    if _has_tex(line):
        return False
    return bool(_has_sentence_end(line) if _has_cjk(line) else _has_four_words(line))


def is_parenthesis(source: str, paragraph: str) -> bool:
    r"""Whether ``\(…\)`` is text in escaped parentheses.

    Prose is, and a number where a line of the paragraph begins with one: ``\(1\) first``.
    """
    if len(source) > _LONGEST_PARENTHESIS or source != source.strip():
        return False
    if source.isdigit():
        return _is_enumeration(paragraph)
    return bool(_is_word(source)) or is_prose(source)


@functools.lru_cache(maxsize=1)
def _is_enumeration(paragraph: str) -> bool:
    """Kept for the many numbers of one paragraph."""
    return bool(_has_number_at_start(paragraph))


def _is_price(text: str) -> bool:
    """Whether a text begins as one about money does: with a number and a unit, or with a number
    that ends a clause."""
    if _ends_clause(text):
        return True
    return text[0].isdigit() and not _has_tex(text) and bool(_has_unit(text))


def _begins_variable(text: str, after: str) -> bool:
    """Whether the second dollar sign begins a variable or a price, by what stands after it."""
    if not after:
        return False
    if (after[0].isascii() and after[0].isalpha()) or after[0] == "_":
        is_suffix = bool(_is_suffix(after)) and not _is_identifier(text)
        return not (is_suffix or _starts_script(text))
    if after[0] in "($":  # "$(a)$(b)", "$A$(b)"
        return bool(_is_identifier(text) or _is_joined(text)) or text[0] in "({"
    return after[0].isdigit() or after[0] == "{"


def _is_part_of_text(text: str) -> bool:
    """Whether a text begins or ends as no formula does, but what stands between two variables."""
    if _starts_amid_text(text) or _ends_amid_text(text):
        return True
    if text.endswith("|") and text.count("|") % 2 and "\\" not in text:
        return True
    if not _ends_in_comma(text) or _has_relation(text):
        return False
    return not (text[-1].isascii() and ("_" in text or (text[:-1].isalpha() and len(text) == 2)))


def _is_cjk_prose(text: str) -> bool:
    r"""Whether Chinese, Japanese or Korean text stands outside of groups (``\text{…}``, ``x_{…}``).

    Names of quantities may: ``面积=长\times 宽`` is a formula, a sentence is none.
    """
    if not _has_cjk(text):
        return False
    outside = _outside_groups(text)
    if not _has_cjk(outside):
        return False
    return bool(_has_cjk_mark(outside)) or not _has_relation(text) or text.endswith("=")


def _outside_groups(text: str) -> str:
    """Return a formula without what stands in its braces, and without scripts of one character."""
    text = text.replace("\\{", " ").replace("\\}", " ")
    for _level in range(8):
        shorter = re.sub(r"\{[^{}]*\}", "", text)
        if shorter == text:
            break
        text = shorter
    return re.sub(r"(?<=\S)[_^]\s*\S", "", text)
