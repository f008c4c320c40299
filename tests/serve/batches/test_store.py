"""Files and batches as they are kept: pages, owners, states, expiry, what a crash leaves."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.batches.objects import (
    BATCH,
    COMPLETED,
    IN_PROGRESS,
    VALIDATING,
    StoredBatch,
    StoredFile,
)
from qchat.serve.batches.store import BatchStore, Page, StoreVersionError

DAY = 86400


@pytest.fixture
def store(tmp_path: Path) -> BatchStore:
    return BatchStore(tmp_path / "batches")


def add_file(store: BatchStore, name: str, owner: str = "a", created: int = 0) -> StoredFile:
    file = StoredFile(name, owner, f"{name}.jsonl", BATCH, 5, created)
    store.content(name).write_bytes(b"12345")
    store.add_file(file)
    return file


def add_batch(store: BatchStore, name: str, file: str, owner: str = "a") -> StoredBatch:
    batch = StoredBatch(name, owner, "/v1/x", file, "24h", 0, DAY, metadata={"k": "ü"})
    store.add_batch(batch)
    return batch


def test_what_is_added_comes_back(store: BatchStore, tmp_path: Path) -> None:
    file, batch = add_file(store, "f"), add_batch(store, "b", "f")
    store.close()
    again = BatchStore(tmp_path / "batches")
    assert again.file("a", "f") == file and again.batch("a", "b") == batch
    assert again.file("b", "f") is None and again.batch("b", "b") is None
    assert again.open_batches() == [batch]


def test_everything_is_private(store: BatchStore) -> None:
    add_file(store, "f")
    for path in [store.folder, *store.folder.iterdir()]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, path


def test_pages(store: BatchStore) -> None:
    for number in range(5):
        add_file(store, f"f{number}", "a" if number != 2 else "b")
    names = ["f4", "f3", "f1", "f0"]

    def page(*arguments: object) -> tuple[list[str], bool]:
        result = store.files("a", Page(*arguments), None)  # type: ignore[arg-type]
        assert result is not None
        return [file.id for file in result[0]], result[1]

    assert page(10) == (names, False)
    assert page(2) == (names[:2], True)
    assert page(2, "f3") == (names[2:], False)
    assert page(2, None, True) == (names[::-1][:2], True)
    assert store.files("a", Page(2, "f2"), None) is None  # another's
    assert store.files("a", Page(9), "batch_output") == ([], False)


def test_a_change_needs_the_expected_state(store: BatchStore) -> None:
    add_batch(store, "b", "f")
    output = StoredFile("out", "a", "out", "batch_output", 1, 1)
    assert not store.change("b", (IN_PROGRESS,), [output], status=COMPLETED)
    assert store.file("a", "out") is None
    assert store.change("b", (VALIDATING,), [output], status=COMPLETED, errors=[{"code": "x"}])
    batch = store.batch("a", "b")
    assert batch is not None and batch.status == COMPLETED and batch.errors == [{"code": "x"}]
    assert store.file("a", "out") == output


def test_an_input_stays_until_its_batch_has_ended(store: BatchStore) -> None:
    add_file(store, "f")
    add_batch(store, "b", "f")
    assert store.delete_file("a", "f") and not store.delete_file("a", "f")
    assert store.file("a", "f") is None and store.content("f").exists()
    assert store.used_bytes("a") == 5  # it is still on the disk
    store.change("b", (VALIDATING,), status=COMPLETED)
    store.collect()
    assert not store.content("f").exists() and store.used_bytes("a") == 0


def test_retention(store: BatchStore) -> None:
    add_file(store, "old")
    add_file(store, "used")
    add_batch(store, "open", "used")
    store.add_file(
        replace(add_file(store, "x", created=9 * DAY), id="soon", expires_at=9 * DAY + 1)
    )
    add_batch(store, "ended", "old")
    store.change("ended", (VALIDATING,), status=COMPLETED, completed_at=2 * DAY)
    store.expire_files(10 * DAY, 9 * DAY)
    assert store.file("a", "old") is None and not store.content("old").exists()
    assert store.file("a", "used") is not None  # an open batch needs it
    assert store.file("a", "soon") is None and store.file("a", "x") is not None
    assert store.batch("a", "ended") is not None
    store.expire_files(11 * DAY, 9 * DAY)
    assert store.batch("a", "ended") is None and store.batch("a", "open") is not None


def test_uploads_that_were_cut_off_are_swept(store: BatchStore) -> None:
    add_file(store, "f")
    (store.contents / ".file-half").write_bytes(b"x")
    store.content("unknown").write_bytes(b"x")
    store.sweep()
    assert [path.name for path in store.contents.iterdir()] == ["f.jsonl"]


def test_a_later_version_is_refused(store: BatchStore, tmp_path: Path) -> None:
    store.close()
    import sqlite3

    with sqlite3.connect(tmp_path / "batches" / "batches.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreVersionError):
        BatchStore(tmp_path / "batches")


def test_a_file_whose_time_is_over_is_gone_at_once(tmp_path: Path) -> None:
    now = 10.0
    store = BatchStore(tmp_path / "batches", lambda: now)
    store.add_file(replace(add_file(store, "x"), id="f", expires_at=100))
    store.content("f").write_bytes(b"12345")
    assert store.file("a", "f") is not None
    now = 100.0
    assert store.file("a", "f") is None and not store.delete_file("a", "f")
    listed = store.files("a", Page(10), None)
    assert listed is not None and [file.id for file in listed[0]] == ["x"]


def test_a_list_goes_on_after_a_deleted_file(store: BatchStore) -> None:
    for name in "abc":
        add_file(store, name)
    assert store.delete_file("a", "b") and not store.content("b").exists()
    after = store.files("a", Page(10, after="b"), None)
    assert after is not None and [file.id for file in after[0]] == ["a"]
    assert store.files("other", Page(10, after="b"), None) is None
    assert store.used_bytes("a") == 10 and store.count_files("a") == 2
