"""The language of a process: which is chosen, and what follows it."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.cells import width
from qchat.i18n import CHINESE, ENGLISH, choose_language, match_language
from qchat.system_messages import TEXTS

CJK = re.compile("[\u4e00-\u9fff]")


def qchat(home: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run qchat in its own process, 80 columns wide, without the languages of this one."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in ("QCHAT_LANG", "LANGUAGE", "LANG", "PYTHONIOENCODING")
        and not name.startswith("LC_")
    }
    return subprocess.run(
        [sys.executable, "-m", "qchat", *args],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**ours, "QCHAT_HOME": str(home), "COLUMNS": "80", **environ},
    )


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("zh", CHINESE),
        ("zh_CN.UTF-8", CHINESE),
        ("zh-Hans", CHINESE),
        ("zh_SG", CHINESE),
        ("zh_TW.UTF-8", CHINESE),
        ("en_GB.UTF-8", ENGLISH),
        ("C.UTF-8", ENGLISH),
        ("POSIX", ENGLISH),
        ("fr_FR.UTF-8", None),
        ("zhuang", None),
        ("", None),
    ],
)
def test_names_of_languages(name: str, language: str | None) -> None:
    assert match_language(name) == language


@pytest.mark.parametrize(
    ("environ", "setting", "language"),
    [
        ({}, "", ENGLISH),
        ({"LANG": "zh_CN.UTF-8"}, "", CHINESE),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "", CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN", "LC_ALL": "en_US.UTF-8"}, "", ENGLISH),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "", CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "", ENGLISH),
        ({"LANG": "fr_FR.UTF-8"}, "", ENGLISH),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "fr:zh_CN:en"}, "", CHINESE),
        ({"LANG": "C", "LANGUAGE": "zh_CN"}, "", ENGLISH),
        ({"LANG": "en_US.UTF-8"}, 'language = "zh_CN"', CHINESE),
        ({"LANG": "zh_CN.UTF-8"}, 'language = "en"', ENGLISH),
        ({"LANG": "zh_CN.UTF-8", "QCHAT_LANG": "en"}, 'language = "zh"', ENGLISH),
        ({"QCHAT_LANG": "zh"}, 'language = "en"', CHINESE),
        ({"QCHAT_LANG": "", "LANG": "C.UTF-8"}, 'language = "zh"', CHINESE),
        ({"LANG": "zh_CN.UTF-8"}, "language = [", CHINESE),
        ({"LANG": "zh_CN.UTF-8"}, "[servers.language]", CHINESE),
    ],
)
def test_variable_then_setting_then_locale(
    tmp_path: Path, environ: dict[str, str], setting: str, language: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(f"{setting}\n")
    assert choose_language({"QCHAT_HOME": str(tmp_path), **environ}) == language


MEANT_SPACES = ("例如 好", "蓝色 天空", "名称 密钥")  # words of an example, of a file's line


def flowing(text: str) -> str:
    """The prose of a help, without the columns of its lists."""
    return "\n".join(line.lstrip() for line in text.splitlines() if not re.match(r"  \S+  ", line))


COMMANDS = (
    *("tui", "ask", "batch", "chats", "serve", "status", "logs", "stop", "restart", "doctor"),
    *("bench", "models", "recipes", "config", "completion"),
)


@pytest.mark.parametrize("command", ["", *COMMANDS, "chats search", "chats export", "config init"])
def test_help_is_chinese_and_fits_into_80_columns(tmp_path: Path, command: str) -> None:
    english = qchat(tmp_path, *command.split(), "--help", QCHAT_LANG="en")
    chinese = qchat(tmp_path, *command.split(), "--help", QCHAT_LANG="zh_CN")
    assert english.returncode == chinese.returncode == 0
    assert not CJK.search(english.stdout.replace("图谱", "").replace("天空", ""))
    for output in (english.stdout, chinese.stdout):
        assert [line for line in output.splitlines() if width(line) > 80] == []
    # Nothing is left in English: a line of prose has none, or is a list of names.
    left = [
        line
        for line in chinese.stdout.splitlines()
        if re.search(r"(?<!--)\b(the|of|and|is|with|for|not|Options|Usage|Examples?)\b", line)
        and not re.match(r"\s+(qchat|git|ssh|zcat|\S+ \|)", line)
    ]
    assert left == []
    # A line break of the source is no space between Chinese characters.
    wide = "[\u3001-\u9fff\uff00-\uffef]"
    stray = re.findall(f"{wide}+ {wide}+", flowing(chinese.stdout))
    assert [part for part in stray if not part.endswith(MEANT_SPACES)] == []
    # Both speak of the same options.
    options = re.compile(r"(?<![\w-])--[a-z][\w-]*")
    assert set(options.findall(chinese.stdout)) == set(options.findall(english.stdout))


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--nonsense"], "错误：没有选项 '--nonsense'。"),
        (["bacth"], "错误：没有命令 'bacth'。是否指 'batch'？"),
        (["ask", "--top-k", "x", "q"], "'--top-k' 的值无效"),
        (["chats", "show", "x", "y"], "错误：多余的参数"),
        (["completion"], "缺少参数"),
        (["ask", "--base-url", "foo", "hi"], "错误：--base-url：'foo' 前面缺少"),
        (["chats", "rename", "x"], "缺少参数 'TITLE...'。"),
        (["recipes", "--update", "nosuch"], "没有此文件或目录"),
        (["completion", "ash"], "不在可选值之中"),
        (["logs", "nobody"], "错误：没有名为 nobody 的服务的日志。"),
    ],
)
def test_errors_are_chinese_with_the_same_exit_code(
    tmp_path: Path, args: list[str], text: str
) -> None:
    chinese = qchat(tmp_path, *args, QCHAT_LANG="zh")
    assert text in chinese.stderr
    assert not re.search(r"\b(Error|Try|Usage|Invalid|Missing)\b", chinese.stderr)
    assert chinese.returncode == qchat(tmp_path, *args, QCHAT_LANG="en").returncode == 2


def test_an_unknown_language_is_named_with_its_place(tmp_path: Path) -> None:
    result = qchat(tmp_path, "config", QCHAT_LANG="klingon", LANG="zh_CN.UTF-8")
    assert result.returncode == 2
    assert result.stderr == "错误：QCHAT_LANG：语言必须是 en 或 zh_CN，而不是 'klingon'。\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('model = "m"\nlanguage = "xx"\n')
    result = qchat(tmp_path, "config")
    assert "config.toml:2: the language must be en or zh_CN, not 'xx'." in result.stderr


def test_a_terminal_without_chinese_characters_gets_english(tmp_path: Path) -> None:
    result = qchat(tmp_path, "--help", LANG="zh_CN.UTF-8", PYTHONIOENCODING="latin-1")
    assert "Commands:" in result.stdout


def test_what_programs_read_is_the_same_in_every_language(tmp_path: Path) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "a"}\nnonsense\n')
    for args in (
        ["status", "--json"],
        ["chats", "list", "--json"],
        ["batch", str(rows), "--check", "--progress", "json", "--base-url", "http://127.0.0.1:9"],
    ):
        english = qchat(tmp_path, *args, QCHAT_LANG="en")
        chinese = qchat(tmp_path, *args, QCHAT_LANG="zh")
        assert english.returncode == chinese.returncode
        assert _keys(english.stdout) == _keys(chinese.stdout)


def _keys(text: str) -> list[object]:
    """The structure of a JSON text: keys and kinds, without the words of values."""

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {key: shape(one) for key, one in value.items()}
        if isinstance(value, list):
            return [shape(one) for one in value]
        return type(value).__name__

    return [shape(json.loads(line)) for line in text.splitlines()]


def test_chinese_has_its_own_punctuation_in_joined_texts(tmp_path: Path) -> None:
    code = (
        "from qchat.serve.doctor.command import _summary\n"
        "from qchat.i18n import in_brackets\n"
        "print(_summary(1, 0), 'demo' + in_brackets('http://x'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "QCHAT_LANG": "zh_CN", "PYTHONIOENCODING": "utf-8"},
    )
    assert run.stdout == "1 个问题，0 个警告。 demo（http://x）\n"


def test_the_systems_words_are_translated(tmp_path: Path) -> None:
    missing = qchat(tmp_path, "batch", "/nowhere/in.jsonl", "-o", "x.jsonl", QCHAT_LANG="zh")
    refused = qchat(tmp_path, "models", "--base-url", "http://127.0.0.1:9", QCHAT_LANG="zh")
    assert "连接被拒绝" in refused.stderr
    fraction = qchat(tmp_path, "bench", "--requests", "1.5", QCHAT_LANG="zh")
    assert "'1.5' 不是有效的整数。" in fraction.stderr
    word = qchat(tmp_path, "ask", "--temperature", "warm", "a", QCHAT_LANG="zh")
    assert "'warm' 不是有效的数。" in word.stderr
    for result in (missing, refused):
        assert result.returncode in (2, 3)
        assert not re.search(r"[A-Z][a-z]+ [a-z]+ ", result.stderr), result.stderr


@pytest.mark.parametrize("name", ["ENOENT", "EACCES", "ECONNREFUSED", "ENOSPC", "EISDIR", "EEXIST"])
def test_system_messages_are_those_of_this_system(name: str) -> None:

    assert os.strerror(getattr(errno, name)) in TEXTS
