"""Folders for compiled code: private ones of ours, and those of others refused."""

import os
import stat
from pathlib import Path

import pytest

from qchat.engine.runtime import compile_caches
from qchat.engine.runtime.compile_caches import FOLDERS, prepare
from qchat.errors import UsageError


def environ(home: Path, **variables: str) -> dict[str, str]:
    return {"QCHAT_HOME": str(home), **variables}


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_each_has_a_private_folder_below_our_cache(tmp_path: Path) -> None:
    variables = prepare(environ(tmp_path / "home"))
    assert variables.keys() == FOLDERS.keys() and "TORCHINDUCTOR_CACHE_DIR" in variables
    for variable, name in FOLDERS.items():
        folder = Path(variables[variable])
        assert folder == tmp_path / "home" / "cache" / "compiled" / name
        assert mode(folder) == mode(folder.parent) == 0o700
    assert prepare(environ(tmp_path / "home")) == variables


def test_ours_are_made_private_again(tmp_path: Path) -> None:
    folder = Path(prepare(environ(tmp_path))["TRITON_CACHE_DIR"])
    folder.chmod(0o777)
    folder.parent.chmod(0o777)
    prepare(environ(tmp_path))
    assert mode(folder) == mode(folder.parent) == 0o700


@pytest.mark.parametrize("name", ["compiled", "compiled/torchinductor"])
def test_no_link_in_the_place_of_ours(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    link = tmp_path / "cache" / name
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(elsewhere)
    with pytest.raises(UsageError, match=f"{link} is a symbolic link"):
        prepare(environ(tmp_path))
    assert mode(elsewhere) == 0o755 and list(elsewhere.iterdir()) == []


def test_a_folder_that_a_person_has_set_is_kept(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    variables = prepare(environ(tmp_path / "home", TRITON_CACHE_DIR=str(scratch / "a")))
    assert "TRITON_CACHE_DIR" not in variables and len(variables) == len(FOLDERS) - 1
    assert mode(scratch / "a") == 0o700
    link = tmp_path / "link"
    link.symlink_to(scratch)
    scratch.chmod(0o755)
    prepare(environ(tmp_path / "home", TRITON_CACHE_DIR=str(link)))
    assert mode(scratch) == 0o755


@pytest.mark.parametrize("bits", [0o777, 0o775, 0o702])
def test_where_others_can_write(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(UsageError, match=f"can write to {folder}.*chmod go-w"):
        prepare(environ(tmp_path / "home", VLLM_CACHE_ROOT=str(folder)))


def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user than the one who made it; root's own are trusted."""
    prepare(environ(tmp_path / "home"))
    (tmp_path / "other").mkdir(mode=0o755)
    monkeypatch.setattr(compile_caches, "_ROOT", -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    for variables in (environ(tmp_path / "home"), environ(tmp_path / "new")):
        with pytest.raises(UsageError, match="belongs to another user"):
            prepare(variables)
    own = dict.fromkeys(FOLDERS, str(tmp_path / "other"))
    with pytest.raises(UsageError, match=r"other belongs to another user.*TORCHINDUCTOR_CACHE_DIR"):
        prepare(environ(tmp_path / "home", **own))


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file"):
        prepare(environ(tmp_path / "home", TRITON_CACHE_DIR=str(tmp_path / "file")))
