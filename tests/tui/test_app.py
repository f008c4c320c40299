"""The chat against a server that misbehaves on order, with a real store."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste

from qchat.api.endpoint import Endpoint
from qchat.errors import UsageError
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.store import MessageTable, Store, StoredMessage, open_store
from qchat.tui.actions.table import ACTIONS
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.help import HelpScreen
from qchat.tui.transcript.transcript import Transcript

from ..faults import Running, running
from .chat_app import chat, last_state, stored, texts, type_in
from .screens import screen
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


async def test_a_question_and_its_answer_are_stored(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*"Hello", "ctrl+j", *"you", "enter")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app) == ["Hello\nyou", "echo: Hello\nyou"]
            assert app.composer.text == ""
            await wait_until(
                lambda: app.conversation.repository.store.conversations.last() is not None
            )
            await pilot.press("ctrl+q")
    assert stored(tmp_path) == [
        ("user", "Hello\nyou", None, MessageState.COMPLETE),
        ("assistant", "echo: Hello\nyou", None, MessageState.COMPLETE),
    ]


async def test_a_click_on_the_transcript_leaves_the_keys_to_the_composer(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.click(app.transcript)
            await pilot.press("a")
            assert app.composer.text == "a"


@pytest.mark.parametrize("form", ["reasoning", "reasoning_content", "inline", "unopened"])
async def test_thinking_comes_apart_however_it_arrives(
    tmp_path: Path, server: Running, form: str
) -> None:
    question = f"hi [[answer:reasoning={form}]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            answer = app.transcript.messages[-1]
            assert answer.text == f"echo: {question}"
            assert answer.reasoning.startswith("The user says")
            assert answer.thought_seconds is not None


async def test_ctrl_c_stops_the_answer_and_keeps_what_came(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, question="x [[answer:rate=50;length=4000]]") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2 and "w8" in texts(app)[1])
            await pilot.press("ctrl+c")
            await wait_until(lambda: last_state(app) is MessageState.STOPPED)
            partial = texts(app)[1]
            await pilot.press("ctrl+c")
            assert app.is_running  # once is not enough
            await pilot.press("ctrl+c")
            await wait_until(lambda: not app.is_running)
    assert stored(tmp_path)[1] == ("assistant", partial, None, MessageState.STOPPED)


async def test_a_failure_is_a_sentence_and_can_be_retried(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    with chat(tmp_path, server.base_url, question="q [[fault:reset_mid_body;times=1]]") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            answer = app.transcript.messages[-1]
            assert "broke off" in answer.error and answer.text.startswith("echo")
            assert f"{answer.error} {answer.note}".count("Ctrl+R retries") == 1
            await pilot.press("ctrl+r")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app)[1].startswith("echo: q")
    assert [row[3] for row in stored(tmp_path)] == [MessageState.COMPLETE] * 2


async def test_a_window_that_ends_by_itself_stores_what_has_come(
    tmp_path: Path, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = MessageTable.finish

    def slowly(table: MessageTable, *args: Any, **options: Any) -> StoredMessage:
        time.sleep(0.5)
        return finish(table, *args, **options)

    monkeypatch.setattr(MessageTable, "finish", slowly)
    with chat(tmp_path, server.base_url, question="q") as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
    assert [row[3] for row in stored(tmp_path)] == [MessageState.COMPLETE] * 2


async def test_without_a_server_it_says_so_and_keeps_the_draft(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    with chat(tmp_path, url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: "Nothing answers" in screen(app))
            await pilot.press(*"draft")
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    with chat(tmp_path, url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.composer.text == "draft")
            await pilot.press("enter")
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert "can't be reached" in app.transcript.messages[-1].error
    assert stored(tmp_path)[0][:2] == ("user", "draft")


async def test_a_store_that_cannot_be_opened_ends_the_chat_with_its_sentence() -> None:
    def broken() -> Store:
        raise UsageError("There is no room.")

    start = LaunchOptions(Endpoint("http://127.0.0.1:9/v1"), None, Sampling(), None, False, "q")
    app = ChatApp(broken, start)
    async with app.run_test(size=(80, 24)):
        await wait_until(lambda: not app.is_running)
    assert str(app.failure) == "There is no room." and app.return_value == 2


async def test_the_last_conversation_goes_on(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, question="one") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    with chat(tmp_path, server.base_url, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: texts(app) == ["one", "echo: one"])
            await type_in(app, "two")
            await wait_until(
                lambda: len(texts(app)) == 4 and last_state(app) is MessageState.COMPLETE
            )
            body = server.log.records[-1].body
            assert isinstance(body, dict) and len(body["messages"]) == 3


async def test_the_help_lies_over_the_conversation(tmp_path: Path) -> None:
    with chat(tmp_path, "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            for key in ("f1", "escape"):
                await pilot.press("f1")
                await wait_until(lambda: isinstance(app.screen, HelpScreen))
                help_text = app.screen.query_one(Transcript).messages[0].text
                assert all(action.about in help_text for action in ACTIONS.values())
                await pilot.press("ctrl+n", key)
                await wait_until(lambda: app.screen is app.screen_stack[0])


async def test_an_answer_goes_on_in_its_own_conversation(tmp_path: Path, server: Running) -> None:
    question = "x [[answer:rate=60;length=9000]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2 and "w3" in texts(app)[1])
            first = app.conversation.id
            await pilot.press(*"mine", "ctrl+n")
            await wait_until(lambda: app.conversation.id is None and texts(app) == [])
            assert app.composer.text == ""
            await pilot.press(*"other", "enter")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app) == ["other", "echo: other"]
            await app.conversation.show(first)
            assert last_state(app) is MessageState.STREAMING and "w3" in texts(app)[1]
            assert app.composer.text == "mine"
            there = len(texts(app)[1])
            await wait_until(lambda: len(texts(app)[1]) > there)
            await pilot.press("ctrl+c")
            await wait_until(lambda: last_state(app) is MessageState.STOPPED)
            tokens = texts(app)[1].split()
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    numbers = [int(word[1:]) for word in tokens if word[0] == "w" and word[1:].isdigit()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))  # nothing lost or doubled on the way
    with open_store(tmp_path) as store:
        answers = [store.for_api(c.id)[1]["content"] for c in store.conversations.list()]
    assert "echo: other" in answers and tokens in [text.split() for text in answers]


async def test_an_answer_that_ends_in_another_conversation_is_announced_and_stored(
    tmp_path: Path, server: Running
) -> None:
    question = "y [[answer:rate=60;length=60]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 2)
            first = app.conversation.id
            await app.conversation.show(None)
            await wait_until(lambda: len(app._notifications) == 1)
            assert texts(app) == []
            await app.conversation.show(first)
            assert last_state(app) is MessageState.COMPLETE
            assert texts(app)[1].rstrip().endswith("w59")


async def test_a_command_a_mistyped_one_and_a_plain_slash(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await pilot.press(*"/nwe", "enter")
            await wait_until(lambda: len(app._notifications) == 1)
            assert app.composer.text == "/nwe"
            await pilot.press("enter")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert texts(app) == ["/nwe", "echo: /nwe"]
            await type_in(app, "//new")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 4
            )
            assert texts(app)[2] == "/new"
            await type_in(app, "/new")
            await wait_until(lambda: texts(app) == [] and app.composer.text == "")


async def test_up_brings_back_a_command_that_failed(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url, question="one") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            await pilot.press(*"/set seed x", "enter")
            await wait_until(lambda: "seed" in [*app._notifications][-1].message)
            await pilot.press("up")
            await wait_until(lambda: app.composer.text == "/set seed x")
            await pilot.press("end", "backspace", "7", "enter")
            await wait_until(lambda: app.parts.settings.current.sampling.seed == 7)
            await pilot.press("up", "up", "up")
            await wait_until(lambda: app.composer.text == "one")


async def test_only_what_is_typed_is_a_command(tmp_path: Path, server: Running) -> None:
    hidden = f"/rename {'x' * 1001}"
    with chat(tmp_path, server.base_url, question="first") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            await type_in(app, hidden)  # large, but there to be seen
            await wait_until(lambda: app.conversation.title == "x" * 1001)
            app.composer.write(hidden)
            await pilot.press("enter")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 4
            )
            assert texts(app)[2] == hidden
            await pilot.press(*"/rename ")
            app.composer.post_message(Paste("y" * 1001))
            await wait_until(lambda: app.composer.draft.chips)
            await pilot.press("enter")
            await wait_until(lambda: "accept no attachments" in [*app._notifications][-1].message)
            await pilot.press("enter")
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 6
            )
            assert texts(app)[4] == f"/rename {'y' * 1001}"
            assert app.conversation.title == "x" * 1001


async def test_markup_and_escapes_are_text(tmp_path: Path, server: Running) -> None:
    question = "[bold]x[/nope] [[answer:dress=escapes]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            text = texts(app)[1]
            assert "[bold]x[/nope]" in text
            assert not {"\x1b", "\x07", "\x00", "\x9b", "\u202e"} & set(text)


@pytest.mark.parametrize("size", [(80, 1), (20, 3), (1, 1)])
async def test_tiny_terminals(tmp_path: Path, server: Running, size: tuple[int, int]) -> None:
    with chat(tmp_path, server.base_url, question="tiny") as app:
        async with app.run_test(size=size):
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )


async def test_a_stop_before_the_first_word_closes_the_connection(
    tmp_path: Path, server: Running
) -> None:
    server.reset_log()
    with chat(tmp_path, server.base_url, question="x [[fault:hang]]") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: any(r.fault for r in server.log.records))
            assert last_state(app) is MessageState.STREAMING
            await pilot.press("ctrl+c")
            await wait_until(lambda: last_state(app) is MessageState.STOPPED)
            await wait_until(lambda: server.log.in_flight == 0)


async def test_a_tool_call_is_shown_with_its_arguments(tmp_path: Path, server: Running) -> None:
    question = "hi [[answer:tool=get_weather]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(
                lambda: last_state(app) is MessageState.COMPLETE and len(texts(app)) == 2
            )
            assert "Tool call: **`get_weather`**" in texts(app)[1]
            assert '{"prompt":' in texts(app)[1]
    assert "get_weather" in stored(tmp_path)[1][1]
