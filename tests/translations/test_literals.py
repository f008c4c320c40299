"""No text for people goes past `_`."""

import pytest

from .catalogue import ROOT, texts_of
from .literals import FOR_PROGRAMS, NOT_TEXTS, untranslated


def test_every_text_for_people_is_translated() -> None:
    hits = [
        f"{name}:{line}: {text!r}"
        for room in ("qchat", "batch", "serve")
        for path in sorted((ROOT / room).rglob("*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(FOR_PROGRAMS)
        for line, text in untranslated(path.read_text("utf-8"))
        if text not in NOT_TEXTS
    ]
    assert hits == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('click.echo("All is well.")', "All is well."),
        ('raise UsageError(f"{name} is not there")', " is not there"),
        ('raise UsageError("one line" + "two lines")', "two lines"),
        ('@click.option("--x", help="What it does.")\ndef f(): ...', "What it does."),
        ('self.notify("it failed" if x else _("it works"))', "it failed"),
    ],
)
def test_an_untranslated_text_is_seen(source: str, text: str) -> None:
    assert text in [found for _line, found in untranslated(source)]


@pytest.mark.parametrize(
    "source",
    [
        'click.echo(_("All is well."))',
        'raise UsageError(_("{name} is not there").format(name="a b c"))',
        'raise ValueError("not for people")',
        'log.info("not for people")',
    ],
)
def test_what_is_translated_or_for_programs_is_left_alone(source: str) -> None:
    assert list(untranslated(source)) == []


def test_texts_within_f_strings_are_extracted() -> None:
    source = "f\"{_('one')} {plural('{n} row', '{n} rows', n).format(n=n)}\"; _(name)"
    assert set(texts_of(source)) == {"one", ("{n} row", "{n} rows")}
