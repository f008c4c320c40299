"""Single questions and answers: going on, other versions, taking out, forking, waiting messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.api.reasoning import ContentDelta, Continuation
from qchat.message_state import MessageState
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.chat.drafts import QueuedMessage, merge_drafts
from qchat.tui.chat.titles import parse_title
from qchat.tui.composer.chips import Chip, Draft

from ..faults import Running, running
from .chat_app import answered, ask, chat, last_state, stored, texts, toasts, type_in, versions
from .screens import screen
from .waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


# -- going on ------------------------------------------------------------------------------


def test_the_rest_of_an_answer_is_all_content() -> None:
    rest = Continuation()
    events = rest.feed({"role": "assistant", "content": ""})
    events += rest.feed({"reasoning": " goes"}) + rest.feed({"content": " on</think> "})
    assert events == [ContentDelta(" goes"), ContentDelta(" on</think> ")]
    assert rest.finish() == []
    assert rest.answer.content == " goes on</think> " and rest.answer.reasoning is None


@pytest.mark.parametrize("case", ["key", "slash"])
async def test_a_stopped_answer_goes_on(tmp_path: Path, server: Running, case: str) -> None:
    question = "x [[answer:rate=400;length=200]]"
    server.reset_log()
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2 and "w9" in texts(app)[1])
            await type_in(app, "/stop")
            await wait_until(lambda: last_state(app) is MessageState.STOPPED)
            partial = texts(app)[1]
            if case == "key":
                await pilot.press("alt+g")
            else:
                await type_in(app, "/continue")
            await answered(app, 2)
            answer = texts(app)[1]
            assert answer.startswith(partial) and answer.endswith(" w199")
            assert answer.count("w9 ") == 1
            await pilot.press("alt+g")
            await wait_until(lambda: "The answer is complete" in toasts(app))
    body = server.log.records[-1].body
    assert body is not None and body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    assert body["messages"][-1] == {"role": "assistant", "content": partial}  # type: ignore[index]
    assert stored(tmp_path)[1] == ("assistant", answer, None, MessageState.COMPLETE)


async def test_a_failure_during_the_answer_leaves_the_partial_answer(
    tmp_path: Path, server: Running
) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "q [[fault:503]]")
        answer = store.messages.begin(key)
        store.messages.finish(answer.id, MessageState.STOPPED, "The begin", "It thought")
    with chat(tmp_path, server.base_url, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2)
            await pilot.press("alt+g")
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert texts(app)[1] == "The begin"
    assert stored(tmp_path)[1] == ("assistant", "The begin", "It thought", MessageState.ERROR)


async def test_a_question_beyond_the_context_names_what_helps(
    tmp_path: Path, server: Running
) -> None:
    helps = (
        "Alt+Q edits the question · Ctrl+Delete removes messages · Ctrl+N begins a new conversation"
    )
    with chat(tmp_path, server.base_url, question="long [[fault:400_context]]") as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert app.transcript.messages[1].note == helps
            await pilot.press("alt+q")
            await wait_until(lambda: app.composer.text.startswith("long"))
            app.composer.text = "short"
            await pilot.press("enter")
            await answered(app, 2)
            await pilot.press("alt+p")
            await wait_until(lambda: last_state(app) is MessageState.ERROR)
            assert app.transcript.messages[1].note == helps  # as it is read again


async def test_without_an_answer_to_continue_a_message_says_so(
    tmp_path: Path, server: Running
) -> None:
    with open_store(tmp_path) as store:
        key = store.conversations.create(title="t").id
        store.messages.add(key, "user", "q")
        answer = store.messages.begin(key)
        store.messages.finish(answer.id, MessageState.STOPPED, "", "It thought")
    with chat(tmp_path, server.base_url, go_on=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2)
            await pilot.press("alt+g")
            await wait_until(lambda: "no text to continue" in toasts(app))
            await type_in(app, "/stop")
            await wait_until(lambda: "There is no pending answer" in toasts(app))
            await pilot.press("alt+z")
            await wait_until(lambda: "There is nothing to undo" in toasts(app))
            await pilot.press("alt+p")
            await wait_until(lambda: "only one version" in toasts(app))
            assert texts(app) == ["q", ""]


# -- versions ------------------------------------------------------------------------------


async def test_an_edited_question_is_another_version(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "one", "two")
            await pilot.press("alt+q")
            await wait_until(lambda: app.composer.text == "two")
            assert "Editing a question" in screen(app)
            await pilot.press(*"!", "enter")
            await wait_until(lambda: texts(app) == ["one", "echo: one", "two!", "echo: two!"])
            assert "Editing" not in screen(app)
            await answered(app, 4)
            assert versions(app) == [None, None, (2, 2), None]
            assert "version 2 of 2" in screen(app)
            await pilot.press("alt+p")
            await wait_until(lambda: texts(app) == ["one", "echo: one", "two", "echo: two"])
            assert versions(app)[2] == (1, 2)
            await pilot.press("alt+a")  # the mark is at the question now: its answer is meant
            await wait_until(lambda: app.composer.text == "echo: two")
            await pilot.press("escape")
            await wait_until(lambda: app.composer.text == "")
            await pilot.press("alt+p")  # around
            await wait_until(lambda: texts(app)[2] == "two!")
            await type_in(app, "/after")
            await wait_until(lambda: texts(app)[2] == "two")
    assert [row[1] for row in stored(tmp_path)] == ["one", "echo: one", "two", "echo: two"]


async def test_the_question_at_the_mark_is_edited_and_escape_leaves(
    tmp_path: Path, server: Running
) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "one", "two")
            app.transcript.go_to_message(app.transcript.messages[1].id or 0)  # the first answer
            await pilot.press("alt+q")
            await wait_until(lambda: app.composer.text == "one")
            await pilot.press("escape")
            await wait_until(
                lambda: app.composer.text == "" and not app.parts.message_actions.is_editing
            )
            await pilot.press(*"draft", "alt+q")
            await wait_until(lambda: "Send or clear the text" in toasts(app))
            assert app.composer.text == "draft" and len(texts(app)) == 4


async def test_an_edited_answer_is_gone_on_from(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "q")
            await pilot.press("alt+a")
            await wait_until(lambda: app.composer.text == "echo: q")
            app.composer.text = "Once upon "
            await pilot.press("enter")
            await wait_until(lambda: texts(app) == ["q", "Once upon echo: q"])
            await answered(app, 2)
            assert versions(app) == [None, (2, 2)]
            await pilot.press("alt+n")
            await wait_until(lambda: texts(app) == ["q", "echo: q"])
    body = server.log.records[-1].body
    assert body is not None and body["continue_final_message"] is True


async def test_after_a_retry_the_first_answer_is_a_version(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "q")
            await pilot.press("ctrl+r")
            await wait_until(lambda: versions(app) == [None, (2, 2)])
            await answered(app, 2)
            assert versions(app) == [None, (2, 2)] and "version 2 of 2" in screen(app)


# -- taking out, forking -------------------------------------------------------------------


async def test_drop_and_undo(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "one", "two")
            await pilot.press("ctrl+delete")
            await wait_until(lambda: texts(app) == ["one", "echo: one"])
            await type_in(app, "/drop")
            await wait_until(lambda: texts(app) == [])
            await wait_until(lambda: not app.conversation.busy)
            await ask(app, pilot, "new")
            assert versions(app)[0] == (2, 2)
            await pilot.press("alt+z")
            await wait_until(lambda: texts(app) == ["one", "echo: one"])
            await pilot.press("ctrl+n")
            await wait_until(lambda: app.conversation.id is None)
            await type_in(app, "/undo")
            await wait_until(lambda: texts(app) == ["one", "echo: one", "two", "echo: two"])


async def test_a_fork_goes_on_by_itself(tmp_path: Path, server: Running) -> None:
    with chat(tmp_path, server.base_url) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, "one", "two")
            first = app.conversation.id
            app.transcript.go_to_message(app.transcript.messages[1].id or 0)
            await pilot.press("alt+k")
            await wait_until(lambda: app.conversation.id != first)
            await wait_until(lambda: texts(app) == ["one", "echo: one"])
            await ask(app, pilot, "three")
            assert app.conversation.title == "one (2)"
            store = app.conversation.repository.store
            assert first is not None and len(store.messages.path(first)) == 4
            assert len(store.conversations.list()) == 2


# -- messages that wait --------------------------------------------------------------------


def test_what_waits_is_joined_with_the_draft() -> None:
    chip, other = Chip("[pasted]", "a"), Chip("[pasted]", "b")
    waiting = [
        QueuedMessage("1", Draft("1")),
        QueuedMessage("b!", Draft("[pasted]!", (other,))),
        QueuedMessage("a?", Draft("[pasted]?", (chip,))),
    ]
    assert merge_drafts(waiting, Draft("[pasted]", (chip,))) == Draft(
        "1\n\nb!\n\n[pasted]?\n\n[pasted]", (chip,)
    )
    assert merge_drafts([], Draft("x")) == Draft("x")
    assert merge_drafts(waiting[:1], Draft()) == Draft("1")


async def test_what_is_sent_meanwhile_waits_for_the_answer(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    question = "x [[answer:rate=60;length=150]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
            await type_in(app, "second")
            await wait_until(lambda: not app.composer.text)
            await type_in(app, "third")
            await wait_until(lambda: len(app.conversation.drafts.queue) == 2)
            await wait_until(lambda: "⋯ second" in screen(app) and "⋯ third" in screen(app))
            assert app.composer.text == "" and len(texts(app)) == 2
            await answered(app, 6)
            assert texts(app)[2:] == ["second", "echo: second", "third", "echo: third"]
            assert "⋯" not in screen(app)
    records = [record for record in server.log.records if record.prompt in (question, *texts(app))]
    assert [record.prompt for record in records] == [question, "second", "third"]
    with open_store(tmp_path) as store:
        last = store.conversations.last()
        assert last is not None and last.draft == ""


@pytest.mark.parametrize("case", ["stop", "unqueue", "quit", "other", "fail"])
async def test_what_waits_is_never_lost(tmp_path: Path, server: Running, case: str) -> None:
    question = "x [[answer:rate=50;length=4000]]"
    if case == "fail":
        question = "x [[answer:rate=50;length=4000]] [[fault:reset_mid_body;after=200]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
            await type_in(app, "two")
            await wait_until(lambda: not app.composer.text)
            await type_in(app, "three")
            await wait_until(lambda: not app.composer.text)
            app.composer.text = "rest"
            await wait_until(lambda: len(app.conversation.drafts.queue) == 2)
            if case == "stop":
                await pilot.press("ctrl+c")
            elif case == "unqueue":
                await pilot.press("alt+w")
            elif case == "other":
                await pilot.press("ctrl+n")
                await wait_until(lambda: app.conversation.id is None)
                assert not app.conversation.drafts.queue and app.composer.text == ""
            if case in ("stop", "unqueue", "fail"):
                await wait_until(lambda: app.composer.text == "two\n\nthree\n\nrest")
                assert not app.conversation.drafts.queue
            await pilot.press("ctrl+q")
            await wait_until(lambda: not app.is_running)
    with open_store(tmp_path) as store:
        last = store.conversations.last()
        assert last is not None and last.draft == "two\n\nthree\n\nrest"


async def test_what_waits_is_a_draft_every_second(tmp_path: Path, server: Running) -> None:
    question = "x [[answer:rate=50;length=4000]]"
    with chat(tmp_path, server.base_url, question=question) as app:
        async with app.run_test(size=(80, 24)):
            await wait_until(lambda: len(texts(app)) == 2 and "w4" in texts(app)[1])
            await type_in(app, "two")
            await wait_until(lambda: not app.composer.text)
            app.composer.text = "rest"
            key = app.conversation.id
            assert key is not None
            store = app.conversation.repository.store  # as after kill -9
            await wait_until(lambda: store.conversations.get(key).draft == "two\n\nrest")


async def ask_more(app: ChatApp, question: str) -> None:
    await type_in(app, question)
    await wait_until(lambda: texts(app) and texts(app)[-1] == f"echo: {question}")
    await wait_until(lambda: last_state(app) is MessageState.COMPLETE and not app.conversation.busy)


# -- titles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Why the Sky Is Blue", "Why the Sky Is Blue"),
        ('\n**Title: "Blue sky."**\nIt is short.', 'Title: "Blue sky'),
        ("Title: Sky", "Sky"),
        ("“天空为何是蓝色的”。", "天空为何是蓝色的"),
        ("\x1b[31mred\x1b[0m [bold]b[/]", "red [bold]b[/]"),
        ("", ""),
        ("1", ""),
        ("word " * 30, ""),
    ],
)
def test_a_title_is_one_short_line(answer: str, title: str) -> None:
    assert parse_title(answer) == title


async def test_the_model_gives_a_title_and_a_persons_stays(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    question = "sky [[answer:text=Blue above]]"
    with chat(tmp_path, server.base_url, titles=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await ask(app, pilot, question)
            await wait_until(lambda: app.conversation.title == "Blue above")
            store = app.conversation.repository.store
            last = store.conversations.last()
            assert last is not None and last.title == "Blue above" and not last.named
            await type_in(app, "/rename Mine")
            await wait_until(lambda: app.conversation.title == "Mine")
            await ask(app, pilot, "more")
            await pilot.press("ctrl+n")
            await wait_until(lambda: app.conversation.id is None)
            await ask(app, pilot, "other [[answer:text=New one]]")
            await wait_until(lambda: app.conversation.title == "New one")
            assert sorted(c.title for c in store.conversations.list()) == ["Mine", "New one"]
    titles = [record for record in server.log.records if "title" in record.prompt]
    assert len(titles) == 2
    body = titles[0].body
    assert body is not None and body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_title_generation_never_delays_a_question(tmp_path: Path, server: Running) -> None:
    server.reset_log()
    with chat(tmp_path, server.base_url, titles=True) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            # The title takes as long as the answer did: two seconds for each word.
            await ask(app, pilot, "[[answer:length=2;rate=0.5]]")
            await wait_until(lambda: any("title" in r.prompt for r in server.log.records))
            await ask_more(app, "next")
            await wait_until(lambda: "gone" in server.log.outcomes)
            assert app.conversation.title.startswith("[[answer")
            assert not toasts(app)
