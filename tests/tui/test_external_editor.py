"""Writing in another editor: what comes back, and what is kept where it fails."""

import stat
import sys
from pathlib import Path

import pytest

from qchat.errors import UsageError
from qchat.tui.composer import external_editor as editor


def script(folder: Path, body: str) -> list[str]:
    """An editor: a program that is given the file as its last argument."""
    file = folder / "editor.py"
    file.write_text(f"import os, sys\npath = sys.argv[-1]\n{body}\n")
    return [sys.executable, str(file)]


def test_the_text_goes_there_and_comes_back(tmp_path: Path) -> None:
    body = f"""
with open(path) as f: text = f.read()
modes = oct(os.stat(path).st_mode), oct(os.stat(os.path.dirname(path)).st_mode)
open({str(tmp_path / "seen")!r}, "w").write(path + "\\n" + " ".join(modes))
open(path, "w").write(text + " and 你好\\n")"""
    assert editor.run_editor("Hello", script(tmp_path, body)) == "Hello and 你好"
    path, modes = (tmp_path / "seen").read_text().split("\n")
    file, folder = (int(mode, 8) for mode in modes.split())
    assert (stat.S_IMODE(file), stat.S_IMODE(folder)) == (0o600, 0o700)
    assert not Path(path).parent.exists()


def test_an_editor_that_fails_leaves_the_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exit code 3; the text is unchanged"):
        editor.run_editor("a", script(tmp_path, "sys.exit(3)"))
    with pytest.raises(UsageError, match="Can't start the editor"):
        editor.run_editor("a", [str(tmp_path / "nowhere")])


def test_what_cannot_be_read_is_left_for_the_person(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is not UTF-8") as caught:
        editor.run_editor("a", script(tmp_path, "open(path, 'wb').write(b'caf\\xe9')"))
    left = Path(next(w for w in str(caught.value).split() if w.endswith(".md")))
    assert left.read_bytes() == b"caf\xe9"
    left.unlink()
    left.parent.rmdir()


def test_which_editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert editor.editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor.editor_command({"VISUAL": "  ", "EDITOR": "vi"}) == ["vi"]
    with pytest.raises(UsageError, match=r"\$EDITOR can't be read"):
        editor.editor_command({"EDITOR": "'vi"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="EDITOR"):
        editor.editor_command({})


def test_what_was_written_before_it_failed_is_left(tmp_path: Path) -> None:
    body = "open(path, 'w').write('a long text')\nos.kill(os.getpid(), 1)"
    with pytest.raises(UsageError, match=r"unchanged\. The editor.s changes") as caught:
        editor.run_editor("a", script(tmp_path, body))
    left = Path(next(w for w in str(caught.value).split() if ".md" in w).removesuffix("."))
    assert left.read_text() == "a long text"
    left.unlink()
    left.parent.rmdir()
