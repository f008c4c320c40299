"""Keys: the format of a key file, and changes of it while a server runs."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.access import keys
from qchat.serve.access.keys import (
    MIN_LENGTH,
    KeyRing,
    from_variable,
    generate,
    one_of,
    parse,
    read,
)
from qchat.serve.access.limits import Limits

from qchat.errors import UsageError

ALICE, BOB = "a" * MIN_LENGTH, "b" * 40


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def test_names_and_comments() -> None:
    parsed = parse(f"# the lab\n\nalice {ALICE}\n{BOB}\r\n", "file")
    assert parsed.owner(ALICE) == "alice"
    assert parsed.owner(BOB) == "line 4"
    for wrong in ("", "a", ALICE + "a", ALICE[:-1], "alice", "ä", "\udcff"):
        assert parsed.owner(wrong) is None
    assert ALICE not in repr(parsed)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "contains no key"),
        ("# nothing\n", "contains no key"),
        ("short\n", "f:1 has 5 characters; 32"),
        (f"a {ALICE}\nb short\n", "f:2 has 5 characters"),
        (f"a {ALICE}\na {BOB}\n", "f:2: the name a occurs twice"),
        (f"a {ALICE}\nb {ALICE}\n", "f:2: this key occurs twice"),
        (f"a b {ALICE}\n", "f:1: a line is NAME KEY"),
        ("é" * 40, "printable ASCII"),
    ],
)
def test_invalid_files_are_reported_with_the_line_and_never_the_key(text: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "f")
    assert error in str(caught.value)
    assert ALICE not in str(caught.value) and "short" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        (f"alice {ALICE} max-running=8", Limits(max_running=8)),
        (f"alice max-running=8 {ALICE}", Limits(max_running=8)),
        (f"alice {ALICE} --max-running 8 max-n 2", Limits(max_running=8, max_n=2)),
        (f"{ALICE} requests-per-minute=5 priority", Limits(requests_per_minute=5, priority=True)),
        (f"alice --tokens-per-minute=9 {ALICE} --priority", Limits(None, None, 9, priority=True)),
        (f"priority {ALICE}", Limits()),
        (f"max-n {ALICE} max-body-bytes=1", Limits(max_body_bytes=1)),
        (f"alice {'-' * 40} max-n=1", Limits(max_n=1)),
    ],
)
def test_limits_in_a_line(line: str, limits: Limits, tmp_path: Path) -> None:
    keys = parse(f"# x\n{line}", "f")
    (name,) = keys.digests
    assert keys.limits.get(name, Limits()) == limits
    path = key_file(tmp_path, f"# x\n{line}")
    key = one_of(path)
    assert keys.owner(key) == name and len(key) >= MIN_LENGTH
    assert KeyRing(path, None).limits(name) == limits


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (f"alice {ALICE} max-running=0", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-running=-1", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-running=1e3", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-running=²", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-running={'9' * 30}", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-running", "f:1: max-running needs a whole number"),
        (f"alice {ALICE} max-n=1 max-n=2", "f:1: max-n occurs twice"),
        (f"alice {ALICE} max-runing=8", "f:1: a line is NAME KEY"),
        (f"alice {ALICE} priority=8", "f:1: a line is NAME KEY"),
    ],
)
def test_limits_that_are_none(line: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line, "f")
    assert error in str(caught.value) and ALICE not in str(caught.value)


def test_changed_limits_count_in_a_running_server(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"alice {ALICE}")
    ring = KeyRing(path, None, Clock())
    assert ring.limits("alice") == Limits()
    path.write_text(f"alice {ALICE} max-n=1")
    assert ring.owner(ALICE) == "alice" and ring.limits("alice") == Limits(max_n=1)


@given(st.text(max_size=200))
def test_no_text_raises_another_exception(text: str) -> None:
    try:
        result = parse(text, "f")
    except UsageError:
        return
    assert result.digests


def test_reading(tmp_path: Path) -> None:
    assert read(key_file(tmp_path, f"\ufeff{ALICE}")).owner(ALICE)
    with pytest.raises(UsageError, match="chmod 600"):
        read(key_file(tmp_path, ALICE, 0o640))
    with pytest.raises(UsageError, match=r"Can't read the key file .*No such file"):
        read(tmp_path / "none")
    with pytest.raises(UsageError, match="not a regular file"):
        read(Path(os.devnull))
    path = key_file(tmp_path, "")
    path.write_bytes(b"\xff\xfe" + b"x" * 50)
    with pytest.raises(UsageError, match="UTF-8"):
        read(path)


def test_the_variable() -> None:
    assert from_variable({}) is None
    parsed = from_variable({"QCHAT_API_KEY": ALICE})
    assert parsed is not None and parsed.owner(ALICE) == "QCHAT_API_KEY"
    for key in ("", "  ", "short"):
        with pytest.raises(UsageError, match="QCHAT_API_KEY"):
            from_variable({"QCHAT_API_KEY": key})


def test_generated_keys_are_keys_and_differ() -> None:
    generated = {generate() for _ in range(50)}
    assert len(generated) == 50
    assert all(parse(key, "f").owner(key) for key in generated)


def test_an_edit_takes_effect_and_an_invalid_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = key_file(tmp_path, f"alice {ALICE}\nbob {BOB}\n")
    ring = KeyRing(path, None, Clock())
    assert ring and ring.owner(ALICE) == "alice"
    key_file(tmp_path, f"bob {BOB}\n")
    assert ring.owner(ALICE) is None and ring.owner(BOB) == "bob"

    key_file(tmp_path, "bob shorter\n")
    assert ring.owner(BOB) == "bob"
    messages = [record.getMessage() for record in caplog.records]
    assert any("stay as they were" in text and "keys:1" in text for text in messages)
    assert ring.owner(BOB) == "bob"
    assert len(caplog.records) == len(messages)  # logged once

    path.unlink()
    assert ring.owner(BOB) == "bob"
    assert any("stay as they were" in text and "No such file" in text for text in caplog.messages)
    key_file(tmp_path, "# nobody\n")
    assert ring.owner(BOB) is None and ring
    assert "all of its keys are revoked" in caplog.messages[-1]
    key_file(tmp_path, f"{ALICE}\n")
    assert ring.owner(BOB) is None and ring.owner(ALICE)
    assert not any(ALICE in text or BOB in text for text in caplog.messages)


def test_a_file_that_was_replaced_outside_the_container_is_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Mounted by itself, it is the old file for ever, which has no name any more."""
    path = key_file(tmp_path, f"alice {ALICE}\n")
    with path.open() as file:
        mounted = Path(f"/proc/self/fd/{file.fileno()}")
        ring = KeyRing(mounted, None, Clock())
        path.unlink()
        key_file(tmp_path, f"bob {BOB}\n")
        assert ring.owner(ALICE) == "alice" and ring.owner(BOB) is None
    # Others log as well: aiohttp, when a session of an earlier test is collected.
    own = [text for text in caplog.messages if str(mounted) in text]
    assert len(own) == 1 and "was replaced" in own[0]


def test_both_a_file_and_the_variable(tmp_path: Path) -> None:
    ring = KeyRing(key_file(tmp_path, ALICE), from_variable({keys.VARIABLE: BOB}), Clock())
    assert ring.owner(ALICE) and ring.owner(BOB) and ring.owner("x") is None
    assert not KeyRing(None, None)


def test_systemd_may_lend_a_key_file_to_its_service_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential can have the mode 0440, where the group is the mask of an access list."""
    path = key_file(tmp_path, f"{ALICE}\n", 0o440)
    with pytest.raises(UsageError, match="chmod 600"):
        read(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read(path).owner(ALICE) == "line 1"
    path.chmod(0o444)
    with pytest.raises(UsageError, match="chmod 600"):
        read(path)
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    with pytest.raises(UsageError, match="chmod 600"):
        read(path)


def test_the_name_of_a_key_without_one_is_the_same_in_every_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "_", lambda text: f"zh {text}")
    assert list(keys.parse(ALICE, "a file").digests) == ["line 1"]
