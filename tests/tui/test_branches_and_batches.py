"""Branches as a tree, prompts with variables, and a batch from the chat."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint, Secret
from qchat.message_state import MessageState
from qchat.prompt_variables import filled, variables
from qchat.running_batches import running_batches
from qchat.store import open_store
from qchat.tui.chat.batch_process import BatchProcess, batch_arguments, progress_lines
from qchat.tui.chat.branches import branch_rows
from qchat.tui.screens.batch_panel import BatchPanel

from ..faults import Running, running
from .chat_app import NOWHERE, chat, texts, toasts, type_in
from .pty_chat import pty_chat
from .screens import screen
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as result:
        yield result


def branched(folder: Path) -> None:
    """Store a question with two answers, the second one followed by another question."""
    with open_store(folder) as store:
        made = store.conversations.create(title="t")
        question = store.messages.add(made.id, "user", "why?")
        for text in ("first answer", "second answer"):
            answer = store.messages.begin(made.id, parent=question.id)
            store.messages.finish(answer.id, MessageState.COMPLETE, text)
        store.messages.add(made.id, "user", "and then?")


def test_a_chain_stays_in_line_and_branches_are_indented(tmp_path: Path) -> None:
    branched(tmp_path)
    with open_store(tmp_path) as store:
        last = store.conversations.last()
        assert last is not None
        nodes = store.messages.tree(last.id)
        path = frozenset(node.id for node in store.messages.path(last.id))
        rows = branch_rows(nodes, store.messages.bodies([n.id for n in nodes]), path)
    assert [(row.depth, row.text, row.is_shown, row.version) for row in rows] == [
        (0, "▌ why?", True, None),
        (1, "· first answer", False, (1, 2)),
        (1, "· second answer", True, (2, 2)),
        (1, "▌ and then?", True, None),
    ]


async def test_the_branch_that_is_picked_is_shown(tmp_path: Path) -> None:
    branched(tmp_path)
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["why?", "second answer", "and then?"])
            await type_in(app, "/tree")
            await wait_until(lambda: "first answer" in screen(app))
            await pilot.press(*"first", "enter")
            await wait_until(lambda: texts(app) == ["why?", "first answer"])


def test_variables_of_a_prompt() -> None:
    text = "Answer {{ name }} in {{language}}; {{name}} again, {no}, {{ }}, {{1}}."
    assert variables(text) == ("name", "language")
    assert filled(text, {"name": "{{language}}", "language": "中文"}) == (
        "Answer {{language}} in 中文; {{language}} again, {no}, {{ }}, {{1}}."
    )


def test_the_key_is_no_argument_and_the_settings_are() -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", api_key=Secret("k" * 32))
    arguments = batch_arguments("a.jsonl", endpoint, "m", "Be brief.", {"temperature": 0})
    assert "k" * 32 not in " ".join(arguments)
    assert arguments[arguments.index("--system") + 1] == "Be brief."
    assert json.loads(arguments[arguments.index("--extra-body") + 1]) == {"temperature": 0}


def test_a_batch_runs_with_them(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    file = tmp_path / "q.jsonl"
    file.write_text('"a"\n"b"\n')
    endpoint = Endpoint(server.base_url)
    arguments = batch_arguments(str(file), endpoint, None, "Be brief.", {"temperature": 0})
    process = BatchProcess(arguments, endpoint)
    assert process.wait(lambda: None) == 0, process.messages
    assert "2/2 (100%)" in next(progress_lines(process))
    bodies = [record.body for record in server.log.records if isinstance(record.body, dict)]
    assert {body["messages"][0]["content"] for body in bodies if "messages" in body} == {
        "Be brief."
    }
    assert {body["temperature"] for body in bodies if "messages" in body} == {0}
    assert len((tmp_path / "q.results.jsonl").read_text().splitlines()) == 2


def test_its_outcome_is_where_the_results_are(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    file = tmp_path / "q.jsonl"  # the slow first row is answered last
    file.write_text('"[[answer:rate=10;length=30]]"\n"b"\n{"messages": 1}\n')
    endpoint = Endpoint(server.base_url)
    process = BatchProcess(batch_arguments(str(file), endpoint, None, None, {}), endpoint)
    assert process.wait(lambda: None) == 1, process.messages
    assert process.outcome == f"Results: {tmp_path / 'q.results.jsonl'}"
    assert "--ordered" in process.messages[-1]
    assert any(text.startswith("Errors: ") for text in process.messages)
    assert "3/3 (100%)" in next(progress_lines(process))


async def test_its_progress_is_shown(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    (tmp_path / "q.jsonl").write_text('"a"\n"b"\n')
    with chat(tmp_path / "store", server.base_url) as app:
        async with app.run_test(size=(100, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, "/batch")
            await wait_until(lambda: "Name the file" in toasts(app))
            await type_in(app, f"/batch {tmp_path / 'q.jsonl'}")
            await wait_until(lambda: isinstance(app.screen, BatchPanel))
            await wait_until(lambda: "2/2 (100%)" in screen(app), 60)
            await wait_until(lambda: "The batch of q.jsonl is done" in toasts(app), 60)
            await pilot.press("escape")
            await wait_until(lambda: not isinstance(app.screen, BatchPanel))


async def test_one_that_runs_on_is_told_of_at_the_end(tmp_path: Path, server: Running) -> None:
    home, results = tmp_path / "home", tmp_path / "q.results.jsonl"
    rows = [f'"{n} [[answer:rate=8;length=30]]"\n' for n in range(30)]
    (tmp_path / "q.jsonl").write_text("".join(rows))
    with pty_chat(home, "--base-url", server.base_url, size=(24, 100)) as chat:
        chat.wait_for(b"sk anything; / for commands")
        chat.send(f"/batch {tmp_path / 'q.jsonl'}\r".encode())
        chat.wait_for(b" in flight")
        chat.send(b"\x11")
        assert chat.end() == 0
        note = chat.output.decode()
    assert "The batch of q.jsonl keeps running" in note and f"--pause {results}" in note
    (batch,) = running_batches(home / "state")
    await wait_until(lambda: results.exists() and len(results.read_text().splitlines()) >= 20)
    os.kill(batch.pid, signal.SIGINT)
    await wait_until(lambda: not list(running_batches(home / "state")))
