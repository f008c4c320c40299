"""The Chinese catalogue is whole, and every translation fits its text."""

import gettext
import re

import pytest
from babel.messages.catalog import Message

from .catalogue import MO, forms, mo_bytes, problems, read, template, updated

MAKE = "run `make messages`, and translate what it lists"

_CJK = "\u3400-\u9fff"
_touching = re.compile(f"[{_CJK}][A-Za-z0-9]|[A-Za-z0-9][{_CJK}]")
_half_width = re.compile(
    f"[{_CJK}](?:[,;:!?()](?!\\w)|\\.(?![\\w./*]))|[,;:!?] [{_CJK}]"
)  # commas without spaces stand in examples of options
_COMMANDS = re.compile(r"^\s+(?:\w+=\S+ )?(?:qchat|git|zcat|ssh|\S+ \| qchat).*$", re.MULTILINE)


def translations() -> list[Message]:
    return [message for message in read() if message.id]


def test_the_catalogue_has_exactly_the_texts_of_the_source() -> None:
    ours, source = ({m.id for m in catalogue if m.id} for catalogue in (read(), template()))
    assert sorted(map(str, source - ours)) == [], MAKE
    assert sorted(map(str, ours - source)) == [], MAKE


def test_every_text_is_translated_and_fits() -> None:
    faults = [f"{m.id!r}: {fault}" for m in translations() for fault in problems(m)]
    assert faults == [], MAKE
    assert len(translations()) > 1500


def test_nothing_is_fuzzy_or_obsolete() -> None:
    catalogue = read()
    assert [m.id for m in catalogue if m.fuzzy and m.id] == []
    assert list(catalogue.obsolete) == []


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    assert MO.read_bytes() == mo_bytes(read()), MAKE
    with MO.open("rb") as file:
        chinese = gettext.GNUTranslations(file)
    assert chinese.gettext("Rename a conversation.") == "重命名对话。"
    assert [chinese.ngettext("{n} error", "{n} errors", n) for n in (0, 1, 2)] == ["{n} 个错误"] * 3


def test_chinese_stands_apart_from_latin_and_has_its_own_punctuation() -> None:
    faults = [
        f"{text!r}: {match[0]!r}"
        for message in translations()
        for text in forms(message.string)
        for pattern in (_touching, _half_width)
        if (match := pattern.search(_COMMANDS.sub("", text)))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("text", "translation", "fault"),
    [
        ("{n} of {m}", "{n}", "has"),
        ("a {name!r}", "一个 {name}", "has"),
        ("%d keys", "若干密钥", "has"),
        ("\b\nExamples:\n  qchat\n", "示例：\n  qchat\n", "kept lines"),
        ("\b\nExamples:\n  qchat\n", "\b\n示例：\n  qchat", "line breaks"),
        ("text", "", "missing"),
    ],
)
def test_a_translation_that_does_not_fit_is_seen(text: str, translation: str, fault: str) -> None:
    assert any(fault in problem for problem in problems(Message(text, translation)))


def test_a_new_and_a_dropped_text_are_seen() -> None:
    catalogue = read()
    dropped = next(message.id for message in catalogue if message.id)
    catalogue.delete(dropped)
    catalogue.add("A text of no source.", "没有来源。")
    again = updated(catalogue)
    assert again.get("A text of no source.") is None
    assert again.get(dropped).string in ("", ("",))
