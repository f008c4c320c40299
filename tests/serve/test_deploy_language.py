"""The files of `--write-deploy` in another language: their texts, and nothing else of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from qchat.serve import deploy_language
from qchat.serve.deploy_templates import TEMPLATES

from qchat.cells import width

from .deploying import WORKERS, names

FILES = sorted(
    path.relative_to(TEMPLATES).as_posix()
    for path in TEMPLATES.rglob("*")
    if path.is_file() and path.suffix not in (".md", ".sh", ".pyc")
)


@pytest.mark.parametrize("name", FILES)
def test_in_english_a_file_stays_as_it_is_written(name: str) -> None:
    text = (TEMPLATES / name).read_text("utf-8")
    assert deploy_language.translate(name, text, str) == text


def test_paragraphs_and_strings_are_found_and_code_is_not() -> None:
    text = """\
# A paragraph
# of two lines.
code here;  # and beside it
    # Another one,
    # deeper.
    # listen [::]:443 ssl;
#!/bin/sh
    summary: "Of \\"an\\" alert"
    other: "not it"
    "title": "A panel",
"""
    assert list(deploy_language.texts("a.yml", text)) == [
        "A paragraph of two lines.",
        "and beside it",
        "Another one, deeper.",
        'Of "an" alert',
        "A panel",
    ]
    assert (
        deploy_language.translate("a.yml", text, lambda _text: '“"')
        == """\
# “"
code here;  # “"
    # “"
    # listen [::]:443 ssl;
#!/bin/sh
    summary: "“\\""
    other: "not it"
    "title": "“\\"",
"""
    )
    assert deploy_language.translate("a.sh", text, lambda _text: "x") == text


def test_chinese_files_differ_in_their_texts_alone(tmp_path: Path) -> None:
    written: dict[tuple[str, str, str], str] = {}
    for language in ("en", "zh_CN"):
        for folder, arguments in (("service", ["--batches"]), ("front", WORKERS)):
            target = f"{folder}-{language}"
            command = [sys.executable, "-m", "qchat", "serve", "demo", "--write-deploy", target]
            subprocess.run(
                [*command, *arguments],
                cwd=tmp_path,
                env={**os.environ, "QCHAT_LANG": language},
                check=True,
                capture_output=True,
            )
            for name in names(tmp_path / target):
                text = (tmp_path / target / name).read_text("utf-8").replace(target, folder)
                written[language, folder, name] = text
    translated = 0
    for (language, folder, name), text in written.items():
        english = written["en", folder, name]
        is_translated_here = any(deploy_language.texts(name, english))
        if language == "en" or not is_translated_here:
            continue
        assert text != english and re.search("[\u4e00-\u9fff]", text), name
        assert all(width(line) <= 100 for line in text.splitlines() if line.lstrip()[:1] == "#")
        code, same = (
            deploy_language.translate(name, one, lambda _text: "") for one in (text, english)
        )
        assert code == same, name
        translated += 1
    assert translated >= 10
