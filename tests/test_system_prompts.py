"""System prompts as files."""

import stat
from pathlib import Path

import pytest

from qchat.errors import UsageError
from qchat.settings import Paths
from qchat.system_prompts import Prompts


@pytest.fixture
def prompts(tmp_path: Path) -> Prompts:
    return Prompts(Paths.find({"QCHAT_HOME": str(tmp_path)}))


def test_written_and_read_back_for_the_owner_alone(prompts: Prompts) -> None:
    assert prompts.names() == []
    file = prompts.write("terse", "Answer in one word.\n")
    assert prompts.names() == ["terse"]
    assert prompts.read("terse") == prompts.read("terse.md") == "Answer in one word."
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert prompts.name_of("Answer in one word.") == "terse"
    assert prompts.name_of("Something else.") is None


@pytest.mark.parametrize("name", ["../config", "a/b", "", ".hidden", "a\nb"])
def test_a_name_never_leaves_the_folder(prompts: Prompts, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a system prompt"):
        prompts.write(name, "x")
    assert not prompts.folder.exists()


def test_what_is_wrong_is_one_sentence(prompts: Prompts) -> None:
    prompts.write("french", "Answer in French.")
    with pytest.raises(UsageError, match=r"no system prompt 'frensh'.*mean 'french'"):
        prompts.read("frensh")
    (prompts.folder / "empty.md").write_text(" \n")
    with pytest.raises(UsageError, match=r"empty\.md is empty"):
        prompts.read("empty")
    (prompts.folder / "odd.md").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match=r"odd\.md is not UTF-8"):
        prompts.read("odd")
    (prompts.folder / "huge.md").write_bytes(b"x" * (2 << 20))
    with pytest.raises(UsageError, match=r"huge\.md is larger"):
        prompts.read("huge")
    assert prompts.name_of("Answer in French.") == "french"  # the broken ones don't hinder it


def test_an_editor_begins_with_what_can_be_read(prompts: Prompts) -> None:
    assert prompts.draft("new") == ""
    prompts.write("terse", "Answer in one word.")
    assert prompts.draft("terse") == "Answer in one word."
    (prompts.folder / "empty.md").write_text(" \n")
    assert prompts.draft("empty") == ""
    (prompts.folder / "odd.md").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match=r"odd\.md is not UTF-8"):
        prompts.draft("odd")


def test_a_prompt_that_can_not_be_written_leaves_nothing_behind(prompts: Prompts) -> None:
    longest = "n" * 252
    assert prompts.write(longest, "x").stem == longest
    with pytest.raises(UsageError, match="252 bytes at most, not 253"):
        prompts.write("n" * 253, "x")
    (prompts.folder / "odd.md").mkdir()
    with pytest.raises(UsageError, match=r"Can't write .*odd\.md"):
        prompts.write("odd", "x")
    assert {file.name for file in prompts.folder.iterdir()} == {"odd.md", f"{longest}.md"}


def test_a_prompt_is_identified_by_what_is_sent_of_it(prompts: Prompts) -> None:
    prompts.write("odd", "Answer\x1b[31m in red.\x07 ")
    assert prompts.name_of("Answer in red.␇") == "odd"
