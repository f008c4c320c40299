"""Results that are deleted, replaced or reached through a link while a run writes them."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import faults
from tests.batch.commands import batch, command, once_each, read, write

pytestmark = pytest.mark.usefixtures("home")


def replaced(path: Path) -> None:
    path.with_name("other").write_text("{}\n")
    path.with_name("other").replace(path)


def shortened(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1)


@pytest.mark.parametrize(
    ("change", "word"),
    [(Path.unlink, "was deleted"), (replaced, "was replaced"), (shortened, "was shortened")],
)
def test_a_run_ends_when_its_results_are_not_there_any_more(
    change: Callable[[Path], None], word: str
) -> None:
    write("in.jsonl", *(f"q{n}" for n in range(400)))
    with faults.running(answers="latency=0.05") as server:
        args = command("in.jsonl", "--base-url", server.url, "--concurrency", "4")
        run = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 60
            while len(server.log.answered) < 5:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            change(Path("in.results.jsonl"))
            _out, stderr = run.communicate(timeout=60)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 3, stderr
        assert f"in.results.jsonl {word}" in stderr and "Traceback" not in stderr
        assert len(server.log.answered) < 400


def test_results_that_are_deleted_at_the_very_end_are_missed_too(
    server: faults.Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qchat.batch.journal.journal import Journal

    close = Journal.close

    def delete_and_close(journal: Journal) -> None:
        Path("in.results.jsonl").unlink()
        close(journal)

    write("in.jsonl", "a")
    monkeypatch.setattr(Journal, "close", delete_and_close)
    assert batch("in.jsonl", "--base-url", server.url) == 3
    assert "was deleted while the run was writing it" in capfd.readouterr().err
    monkeypatch.undo()


def test_a_link_is_followed_once(server: faults.Running) -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()
    link = Path("out.jsonl")
    link.symlink_to("one/answers.jsonl")
    write("in.jsonl", "a", "b")
    args = ("in.jsonl", "-o", "out.jsonl", "--base-url", server.url)
    assert batch(*args) == 0
    assert link.is_symlink() and len(read("one/answers.jsonl")) == 2
    assert Path("one/answers.manifest.json").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["in.jsonl", "one", "out.jsonl", "two"]
    write("in.jsonl", "b", "a")
    assert batch(*args) == 0  # rewritten: the link stays a link
    assert link.is_symlink()
    once_each("one/answers.jsonl", 2)
    assert batch("--status", "out.jsonl") == 0
    link.unlink()
    link.symlink_to("out.jsonl")
    assert batch(*args) == 2
