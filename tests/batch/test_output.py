"""Names of files, the lock, the manifest, and what may be touched."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qchat.batch.inputs.discovery import InputFile
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.journal.lock import RunLock
from qchat.batch.journal.manifest import (
    Manifest,
    differences,
    is_own_output,
    load_manifest,
    recorded_settings,
)
from qchat.batch.journal.output_files import (
    OutputFiles,
    check_folder,
    name_outputs,
    own_side_files,
    refuse_foreign,
    refuse_own_output,
    review_file,
    set_aside,
)

from qchat.errors import UsageError
from qchat.sampling import Sampling

from .commands import batch, write

MANIFEST = Manifest(("in.jsonl",), "out.jsonl", "out.errors.jsonl", {"model": "demo"})


def input_file(path: Path) -> InputFile:
    return InputFile(path.name, path)


def test_files_are_beside_the_input_or_at_the_output(tmp_path: Path) -> None:
    files = name_outputs([input_file(tmp_path / "in.jsonl")], None)
    names = [files.results, files.errors, files.manifest, files.lock, files.damaged]
    assert [path.name for path in names] == [
        "in.results.jsonl",
        "in.results.errors.jsonl",
        "in.results.manifest.json",
        "in.results.lock",
        "in.results.damaged.jsonl",
    ]
    assert {path.parent for path in names} == {tmp_path}
    assert (
        name_outputs([input_file(tmp_path / "a.b.txt")], None).results.name == "a.b.results.jsonl"
    )
    assert name_outputs([], "x/out.jsonl").errors == Path("x/out.errors.jsonl")
    two = [input_file(tmp_path / "a"), input_file(tmp_path / "b")]
    with pytest.raises(UsageError, match="need -o"):
        name_outputs(two, None)
    with pytest.raises(UsageError, match="need -o"):
        name_outputs([InputFile("stdin", Path("/dev/fd/0"))], None)


def test_a_folder_that_cannot_be_written_is_an_early_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_folder(OutputFiles.named(tmp_path / "out.jsonl"))
    with pytest.raises(UsageError, match="There is no folder"):
        check_folder(OutputFiles.named(tmp_path / "no" / "out.jsonl"))
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_folder(OutputFiles.named(tmp_path / "dir.jsonl"))
    with pytest.raises(UsageError, match="can't be written: File name too long"):
        check_folder(OutputFiles.named(tmp_path / f"{'x' * 300}.jsonl"))
    for ending in (".jsonl", ".csv"):
        long = name_outputs([], str(tmp_path / ("x" * 300 + ending)))
        with pytest.raises(UsageError, match="can't be written: File name too long"):
            check_folder(long)
    monkeypatch.setattr(os, "access", lambda *_args: False)  # root may write everything
    with pytest.raises(UsageError, match="No permission to write"):
        check_folder(OutputFiles.named(tmp_path / "out.jsonl"))


def test_the_manifest_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "out.manifest.json"
    assert load_manifest(path) is None
    saved = MANIFEST.save(path, state="finished", answered=3)
    assert load_manifest(path) == saved
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    for text in ("", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "x": 2}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="not a manifest of this version"):
            load_manifest(path)


def test_only_named_files_are_ours(tmp_path: Path) -> None:
    files = OutputFiles.named(tmp_path / "out.jsonl")
    refuse_foreign(files, None)
    files.errors.touch()
    with pytest.raises(UsageError, match=r"out\.errors\.jsonl exists and is not an output"):
        refuse_foreign(files, None)
    refuse_foreign(files, MANIFEST)


def test_only_named_side_files_are_ours(tmp_path: Path) -> None:
    files = OutputFiles.named(tmp_path / "out.jsonl")
    former = MANIFEST  # of a version that did not name them: what is there is its own
    for path in files.side:
        ours, others = former.naming([path]), former.naming([files.errors])
        path.touch()
        refuse_foreign(files, former)
        refuse_foreign(files, ours)
        for manifest in (None, others):
            with pytest.raises(UsageError, match=f"{path.name} exists and is not an output"):
                refuse_foreign(files, manifest)
        path.unlink()
        saved = ours.save(files.manifest)
        assert load_manifest(files.manifest) == saved
    data = json.loads(files.manifest.read_text())
    del data["side_files"]
    files.manifest.write_text(json.dumps(data))
    former_manifest = load_manifest(files.manifest)
    assert former_manifest is not None and former_manifest.side_files is None


def test_a_runs_output_is_no_input(tmp_path: Path) -> None:
    MANIFEST.save(tmp_path / "out.manifest.json")
    for name in ("out.jsonl", "out.errors.jsonl"):
        with pytest.raises(UsageError, match="is the output of an earlier run"):
            refuse_own_output([input_file(tmp_path / name)])
    refuse_own_output([input_file(tmp_path / "in.jsonl"), input_file(tmp_path / "output.jsonl")])


def test_a_review_file_is_ours_where_it_is_named(tmp_path: Path) -> None:
    """Others give files of their own that name."""
    files = OutputFiles.named(tmp_path / "out.jsonl")
    review = review_file(files.results)
    for manifest, is_ours in ((MANIFEST, False), (MANIFEST.naming([review]), True)):
        review.touch()
        files.results.touch()
        manifest.save(files.manifest)
        assert is_own_output(review) == is_ours
        assert (review.name in own_side_files(files, manifest)) == is_ours
        refuse_foreign(files, manifest)
        assert len(set_aside(files, manifest)) == 2 + is_ours
        assert review.exists() != is_ours


def test_setting_aside_deletes_nothing(tmp_path: Path) -> None:
    files = OutputFiles.named(tmp_path / "out.jsonl")
    contents = set()
    for round_ in range(3):
        for path in (files.results, files.errors, files.manifest):
            path.write_text(f"{path.name} {round_}")
            contents.add(f"{path.name} {round_}")
        assert len(set_aside(files, MANIFEST)) == 3
    assert {path.read_text() for path in tmp_path.iterdir()} == contents


def test_what_a_person_changed_is_named() -> None:
    old = recorded_settings(RowDefaults(model="a", sampling=Sampling(temperature=0.5, stop=("x",))))
    new = recorded_settings(RowDefaults(model="b", system="s", sampling=Sampling(temperature=0.5)))
    assert json.loads(json.dumps(old)) == old
    assert differences(old, old) == []
    assert differences(old, new) == [
        "model: 'a' before, 'b' now",
        "stop: ['x'] before, not set now",
        "system: not set before, 's' now",
    ]


HOLD = """
import sys, time
from pathlib import Path
from qchat.batch.journal.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "out.lock"
    with holder(path) as process:
        try:
            with pytest.raises(UsageError, match=f"PID {process.pid} on .* writes"), RunLock(path):
                pass
        finally:
            process.send_signal(signal.SIGKILL)
    with RunLock(path) as lock:  # a killed holder leaves nothing locked
        assert lock.advisory
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_without_flock_the_file_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_fd: int, _how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "out.lock"
    with RunLock(path) as lock:
        assert not lock.advisory
        with pytest.raises(UsageError, match="If it no longer runs, remove"), RunLock(path):
            pass
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "start": 0}))
    with pytest.raises(UsageError, match="on elsewhere"), RunLock(path):
        pass


@pytest.mark.parametrize("args", [("LONG",), ("--from", "LONG"), ("in.jsonl", "--gold", "LONG")])
def test_a_name_that_is_too_long_is_wrong_usage(
    args: tuple[str, ...], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    long = "x" * 300 + ".jsonl"
    args = tuple(long if arg == "LONG" else arg for arg in args)
    assert batch(*args, "-o", "out.jsonl", "--choice", "a,b", "--model", "demo") == 2
    assert "xx.jsonl is too long; give a shorter one." in capfd.readouterr().err
