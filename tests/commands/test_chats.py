"""`qchat chats`: what is printed, where, and the exit codes."""

import errno
import io
import json
import os
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
from qchat.batch.inputs.messages import check_messages

from qchat import cli
from qchat.store import MessageState, StoreError, StoreProblem, open_store

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "QCHAT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def chat(home: Path) -> str:
    with open_store(home / "data") as store:
        made = store.conversations.create(title="天空 " + ESCAPE + "sky", system="Be short.")
        store.messages.add(made.id, "user", "为什么天空是蓝色的？")
        answer = store.messages.begin(made.id, model="demo")
        text = f"Light {ESCAPE}scatters.\n"
        store.messages.finish(answer.id, MessageState.COMPLETE, text, "hm, thinking")
        return made.id


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.run(["chats", *args])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    return code, out, err


Capsys = pytest.CaptureFixture[str]


def test_a_notice_reports_a_damaged_store_and_its_recovery(
    capsys: Capsys, chat: str, home: Path, tmp_path: Path
) -> None:
    data = home / "data" / "chats.db"
    with data.open("r+b") as file:
        file.write(bytes(4096))
    code, out, err = run(capsys, "list")
    assert code == 0
    assert chat[:4] in out
    (set_aside,) = (home / "data").glob("chats.damaged-*.db")
    assert "1 conversation could be read" in err and str(set_aside) in err
    code, out, err = run(capsys, "list")
    assert (code, err) == (0, "")


def test_a_database_is_imported(capsys: Capsys, chat: str, home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other.db"
    copy.write_bytes((home / "data" / "chats.db").read_bytes())
    code, _out, err = run(capsys, "import", str(copy))
    assert (code, err) == (0, "Imported 0 conversations. 1 duplicate skipped.\n")
    run(capsys, "delete", chat, "--yes")
    run(capsys, "purge", "--older-than", "0", "--yes")
    code, _out, err = run(capsys, "import", str(copy))
    assert (code, err) == (0, "Imported 1 conversation.\n")
    assert "scatters" in run(capsys, "show", chat)[1]
    copy.write_bytes(copy.read_bytes()[:16])
    code, _out, err = run(capsys, "import", str(copy))
    assert code == 2 and "No qchat conversation" in err


def test_what_only_reads_does_so_where_nothing_can_be_written(
    capsys: Capsys, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a disk that is mounted read-only; tests/store mounts one.
    refused = StoreError(StoreProblem.READ_ONLY, "Can't write to chats.lock.")
    monkeypatch.setattr("qchat.store.store.door", mock.Mock(side_effect=refused))
    for args in (["list"], ["search", "scatters"], ["show", chat], ["export", "--format", "json"]):
        code, out, err = run(capsys, *args)
        assert (code, err) == (0, "")
        assert "天空" in out or "\\u5929\\u7a7a" in out
    code, _out, err = run(capsys, "rename", chat, "other")
    assert code == 2 and "Can't write" in err


def test_list_and_show(capsys: Capsys, chat: str) -> None:
    code, out, _err = run(capsys, "list")
    assert code == 0
    assert chat[:4] in out
    assert "天空 sky" in out
    short = out.splitlines()[1].split()[0]
    code, out, _err = run(capsys, "show", short)
    assert code == 0
    assert "Light scatters." in out
    assert "Be short." in out
    assert "thinking" not in out
    assert run(capsys, "show") == (0, out, "")  # the last
    assert "> hm, thinking" in run(capsys, "show", short, "--reasoning")[1]
    assert json.loads(run(capsys, "show", "--json")[1])["messages"][1]["reasoning"]


def test_search(capsys: Capsys, chat: str) -> None:
    code, out, _err = run(capsys, "search", "蓝色")
    assert (code, "为什么天空是蓝色的？" in out) == (0, True)
    (hit,) = json.loads(run(capsys, "search", "scatter", "--json")[1])
    (start, end) = hit["marks"][0]
    assert hit["snippet"][start:end] == "scatters"
    assert hit["conversation"] == chat
    assert run(capsys, "search", "nowhere") == (0, "", "No matches.\n")
    assert run(capsys, "search", '"*')[0] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["show", "zzzz"], "no conversation 'zzzz'"),
        (["delete", "zzzz", "--yes"], "no conversation"),
        (["import", "missing.json"], "No such file"),
        (["export", "zzzz"], "no conversation"),
        (["export", "-o", "no/such/x.json"], "There is no folder"),
        (["export", "-o", "."], "is a folder"),
        (["list", "--archived", "--deleted"], "not both"),
        (["search"], "WORDS"),
    ],
)
def test_mistakes_exit_with_2(capsys: Capsys, chat: str, args: list[str], message: str) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_an_empty_store(capsys: Capsys) -> None:
    assert run(capsys, "list") == (0, "", "There are no conversations here.\n")
    assert run(capsys, "show")[0] == 2


def test_export_and_import_of_everything(
    capsys: Capsys, chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "export", "-o", "all.json")[0] == 0
    before = Path("all.json").read_bytes()
    assert b"\x1b" not in before
    code, _out, err = run(capsys, "export", "-o", "all.json")
    assert (code, "--force" in err) == (2, True)
    assert run(capsys, "export", "-o", "all.json", "--force")[0] == 0
    assert Path("all.json").read_bytes() == before
    assert run(capsys, "import", "all.json")[2] == (
        "Imported 0 conversations. 1 duplicate skipped.\n"
    )
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "other"))
    assert run(capsys, "import", "all.json")[2] == "Imported 1 conversation.\n"
    assert run(capsys, "export")[1].encode() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.json", "home", "other"]


def test_lines_are_what_batch_reads(
    capsys: Capsys, chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _err = run(capsys, "export", "--format", "jsonl")
    assert code == 0
    (line,) = out.splitlines()
    messages = json.loads(line)["messages"]
    check_messages(messages)
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[2]["content"] == f"Light {ESCAPE}scatters.\n"
    Path("in.jsonl").write_text(out, "utf-8")
    assert "1 duplicate skipped" in run(capsys, "import", "in.jsonl")[2]
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "other"))
    assert run(capsys, "import", "in.jsonl")[0] == 0
    assert run(capsys, "export", "--format", "jsonl")[1] == out


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "in.jsonl:2: not valid JSON: see line 1, column 2."),
        ("[1]", "in.jsonl:2: there must be 'messages'"),
        ('{"messages": []}', "in.jsonl:2: there must be 'messages'"),
        (
            '{"messages": [{"role": "boss", "content": "x"}]}',
            "in.jsonl:2: 'messages[0]' has no role",
        ),
        ('{"messages": [{"role": "user"}]}', "in.jsonl:2: 'messages[0].content' is missing"),
        ('{"messages": [{"role": "user", "content": 3}]}', "in.jsonl:2: 'messages[0].content'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    capsys: Capsys, bad: str, message: str
) -> None:
    good = '{"messages": [{"role": "user", "content": "hello"}]}'
    Path("in.jsonl").write_text(f"{good}\n{bad}\n{good}\n")
    code, _out, err = run(capsys, "import", "in.jsonl")
    assert code == 2
    assert message in err
    assert run(capsys, "list")[1] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "boss"}, "conversation 1: message 1: has no role"),
        ({"parent": 1}, "message 1: 'parent'"),
        ({"state": "streaming"}, "message 1: 'state'"),
        ({"content": None}, "message 1: 'content'"),
        ({"created": "yesterday"}, "message 1: 'created'"),
        ({"usage": [1]}, "message 1: 'usage'"),
    ],
)
def test_a_bad_export_is_refused(
    capsys: Capsys, chat: str, change: dict[str, object], message: str
) -> None:
    value = json.loads(run(capsys, "export")[1])
    value["conversations"][0]["messages"][0].update(change)
    Path("in.json").write_text(json.dumps(value))
    code, _out, err = run(capsys, "import", "in.json")
    assert code == 2
    assert message in err


def test_a_file_that_is_something_else(capsys: Capsys) -> None:
    Path("a.json").write_text('{"name": "x"}')
    assert "neither a qchat export" in run(capsys, "import", "a.json")[2]
    Path("b.json").write_bytes(b"ok\n\xff\n")
    assert "b.json:2: this is not UTF-8" in run(capsys, "import", "b.json")[2]
    Path("c.json").write_text("")
    assert run(capsys, "import", "c.json") == (0, "", "Imported 0 conversations.\n")


def test_delete_asks_and_restore_undoes(capsys: Capsys, chat: str) -> None:
    with mock.patch.object(sys, "stdin", io.StringIO("")):
        code, _out, err = run(capsys, "delete", chat)
    assert (code, "--yes" in err) == (2, True)
    code, _out, err = run(capsys, "delete", chat, "--yes")
    assert (code, f"qchat chats restore {chat}" in err) == (0, True)
    assert run(capsys, "list")[1] == ""
    assert "天空" in run(capsys, "list", "--deleted")[1]
    assert run(capsys, "purge", "--yes")[2] == "Removed 0 conversations.\n"
    assert run(capsys, "restore", chat[:5])[0] == 0
    assert "天空" in run(capsys, "list")[1]
    run(capsys, "delete", chat, "--yes")
    assert run(capsys, "purge", "--older-than", "0", "--yes")[2] == "Removed 1 conversation.\n"
    assert run(capsys, "restore", chat)[0] == 2


def test_a_damaged_store_is_reported(capsys: Capsys, home: Path, chat: str) -> None:
    (home / "data" / "chats.db").write_bytes(b"rubbish" * 1000)
    code, _out, err = run(capsys, "list")
    assert code == 0
    assert "damaged" in err
    assert "chats.damaged-" in err


def test_restore_says_what_was_never_away(capsys: Capsys, chat: str) -> None:
    code, _out, err = run(capsys, "restore", chat)
    assert (code, err.startswith("Not deleted: 天空")) == (0, True)
    run(capsys, "archive", chat)
    code, _out, err = run(capsys, "restore", chat)
    assert code == 0 and f"qchat chats archive --off {chat}" in err
    run(capsys, "delete", chat, "--yes")
    assert run(capsys, "restore", chat)[2].startswith("Restored: ")


def test_search_marks_what_is_archived(capsys: Capsys, chat: str) -> None:
    assert "(archived)" not in run(capsys, "search", "scatters")[1]
    run(capsys, "archive", chat)
    for message in ("scatters", "sky"):  # a message, a title
        assert "(archived)" in run(capsys, "search", message)[1].splitlines()[0]
    assert [hit["archived"] for hit in json.loads(run(capsys, "search", "sky", "--json")[1])] == [
        True
    ]


def test_rename_pin_and_archive(capsys: Capsys, home: Path, chat: str) -> None:
    assert run(capsys, "rename", chat[:4], "Why", f"blue{ESCAPE}?")[0] == 0
    assert run(capsys, "pin", chat)[0] == 0
    code, out, err = run(capsys, "archive", chat[:5])
    assert (code, out) == (0, "")
    assert err.startswith("Archived: Why blue") and run(capsys, "list")[1] == ""
    with open_store(home / "data") as store:
        record = store.conversations.get(chat)
        assert (record.named, record.pinned, record.archived) == (True, True, True)
    assert run(capsys, "archive", "--off", chat)[0] == run(capsys, "pin", "--off", chat)[0] == 0
    with open_store(home / "data") as store:
        record = store.conversations.get(chat)
        assert (record.pinned, record.archived) == (False, False)


@pytest.mark.parametrize(
    "args",
    [["rename", "zzzz", "x"], ["rename"], ["pin", "zzzz"], ["archive"], ["rename", "ID", " "]],
)
def test_changes_that_cannot_be(capsys: Capsys, chat: str, args: list[str]) -> None:
    code, out, err = run(capsys, *[chat if arg == "ID" else arg for arg in args])
    assert (code, out) == (2, "") and err


def test_force_leaves_links_and_pipes_what_they_are(
    capsys: Capsys, tmp_path: Path, chat: str
) -> None:
    target = tmp_path / "target.json"
    target.write_text("old")
    (tmp_path / "link.json").symlink_to(target)
    assert run(capsys, "export", "-o", "link.json")[0] == 2
    assert run(capsys, "export", "-o", "link.json", "--force")[0] == 0
    assert (tmp_path / "link.json").is_symlink() and chat in target.read_text()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    assert run(capsys, "export", "-o", "pipe", "--force")[0] == 0
    reader.join(20)
    assert pipe.is_fifo() and chat in got[0]


def test_a_file_system_without_links_will_do(
    capsys: Capsys, tmp_path: Path, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert run(capsys, "export", "-o", "a.json")[0] == 0
    assert chat in (tmp_path / "a.json").read_text()
    assert run(capsys, "export", "-o", "a.json")[0] == 2
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.json"]
