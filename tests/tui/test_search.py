"""The search over all conversations, and the jump to a hit; the palette; exports and imports."""

import json
from pathlib import Path

import pytest

from qchat.errors import UsageError
from qchat.store import Store, open_store
from qchat.tui.app import ChatApp
from qchat.tui.chat.transfer import free_name, parse_export_arguments
from qchat.tui.screens.argument_prompt import ArgumentPrompt
from qchat.tui.screens.search import SearchScreen

from .chat_app import NOWHERE, chat, filled, hits, texts, type_in
from .screens import screen
from .waiting import wait_until


def messages(app: ChatApp) -> list[str]:
    return [notification.message for notification in app._notifications]


def branched(store: Store) -> tuple[str, int]:
    """A long conversation whose path leaves a question about graphs aside; its id, and that."""
    key = store.conversations.create(title="long").id
    for number in range(30):
        store.messages.add(key, "user", f"question {number}")
        store.messages.add(key, "assistant", f"answer {number}\n" * 5)
    fork = store.messages.path(key)[9].id
    aside = store.messages.add(key, "user", "line\n\n" * 60 + "知识图谱在这里", parent=fork)
    store.messages.add(key, "user", "the other branch", parent=fork)
    return key, aside.id


async def test_a_hit_on_another_branch_is_gone_to_and_marked(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        key, aside = branched(store)
        store.conversations.create(title="last")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press("ctrl+f", *"图谱")
            await wait_until(lambda: len(hits(app)) == 1)
            await pilot.press("enter")
            await wait_until(lambda: app.conversation.id == key and len(app.screen_stack) == 1)
            await wait_until(lambda: app.transcript.cursor is not None)
            index = [message.id for message in app.transcript.messages].index(aside)
            assert index == len(texts(app)) - 1 == 10
            cursor = app.transcript.cursor
            assert cursor is not None and cursor[0] == index and cursor[1] > 1
            await wait_until(lambda: "›" in screen(app) and "知识图谱" in screen(app))


async def test_hits_as_one_types(tmp_path: Path) -> None:
    filled(tmp_path, "sky", "sea")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["question of sea"])
            await type_in(app, "/search question")
            await wait_until(lambda: isinstance(app.screen, SearchScreen) and len(hits(app)) == 2)
            await pilot.press(*" sky")
            await wait_until(lambda: hits(app) == ["question of sky"])
            await pilot.press("ctrl+n", *"zzz")  # no key of the conversation's works here
            await wait_until(lambda: hits(app) == [])
            await pilot.press("enter", "escape")
            await wait_until(lambda: len(app.screen_stack) == 1)
            assert texts(app) == ["question of sea"]
            await pilot.press("ctrl+f", *"question", "down", "enter")
            await wait_until(lambda: len(app.screen_stack) == 1)
            await wait_until(lambda: app.transcript.cursor is not None)


async def test_the_palette_finds_actions_and_conversations(tmp_path: Path) -> None:
    filled(tmp_path, "a blue sky", "the sea")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["question of the sea"])
            await pilot.press("ctrl+p", *"blsk")
            await wait_until(
                lambda: (
                    "a blue sky" in str(app.screen.query("OptionList").first().options[0].prompt)
                    if len(app.screen_stack) == 2 and app.screen.query("OptionList").first().options
                    else False
                )
            )
            await pilot.press("enter")
            await wait_until(lambda: texts(app) == ["question of a blue sky"])
            await pilot.press("ctrl+p", *"rename this")
            await wait_until(lambda: app.screen.query("OptionList").first().options)
            await pilot.press("enter")
            await wait_until(lambda: isinstance(app.screen, ArgumentPrompt))
            await pilot.press(*"Deep sky", "enter")
            await wait_until(lambda: messages(app) == ["Renamed: Deep sky"])
            await type_in(app, "/rename")
            await wait_until(lambda: isinstance(app.screen, ArgumentPrompt))
            await wait_until(lambda: "Esc: cancel" in screen(app))
            await pilot.press("x", "escape")
            await wait_until(lambda: len(app.screen_stack) == 1)
            assert app.conversation.title == "Deep sky"


async def test_export_and_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "files"
    files.mkdir()
    monkeypatch.chdir(files)
    filled(tmp_path, "a/b: sky?")
    with chat(tmp_path, NOWHERE, go_on=True) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: texts(app) == ["question of a/b: sky?"])
            written = {
                "/export": "a-b-sky.md",
                "/export md": "a-b-sky-2.md",
                "/export json all.json": "all.json",
                "/export x.jsonl": "x.jsonl",
            }
            for command, name in written.items():
                await type_in(app, command)
                await wait_until(lambda name=name: messages(app)[-1:] == [f"Wrote {files / name}"])
            assert {file.name for file in files.iterdir()} == set(written.values())
            line = json.loads((files / "x.jsonl").read_text())
            assert line == {"messages": [{"role": "user", "content": "question of a/b: sky?"}]}
            await type_in(app, "/export json all.json")
            await wait_until(lambda: "exists" in messages(app)[-1])
            await type_in(app, "/import all.json")
            await wait_until(
                lambda: messages(app)[-1] == "Imported 0 conversations. 1 duplicate skipped."
            )
            (files / "other.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
            await type_in(app, "/import other.jsonl")
            await wait_until(lambda: texts(app) == ["hi"])
            (files / "bad.json").write_text("[")
            await type_in(app, "/import bad.json")
            await wait_until(lambda: messages(app)[-1].startswith("bad.json:1: not valid JSON"))
            await type_in(app, "/import nowhere.json")
            await wait_until(lambda: messages(app)[-1].startswith("Can't read nowhere.json"))


def test_what_stands_behind_export() -> None:
    assert parse_export_arguments("") == ("markdown", "")
    assert parse_export_arguments("JSON  my file.txt") == ("json", "my file.txt")
    assert parse_export_arguments("chat.jsonl") == ("jsonl", "chat.jsonl")
    for argument, told in {
        "pdf": r"^pdf is not a format.* /export md pdf\.md\.$",
        "a/b.pdf": r"^pdf is not a format.* /export md a/b\.md\.$",
        "notes.txt": r"^txt is not a format.* /export md notes\.md\.$",
    }.items():
        with pytest.raises(UsageError, match=told):
            parse_export_arguments(argument)


def test_free_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_name("../../etc/passwd", "md") == Path("etc-passwd.md")
    assert free_name("天空", "json") == Path("天空.json")
    assert free_name("...", "md") == Path("conversation.md")
    Path("x.md").touch()
    assert free_name("x", "md") == Path("x-2.md")
