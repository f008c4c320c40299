"""Search: what is searched, in which order, and where the hits are."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.store import MessageState, Store, StoreThread, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    ticks = itertools.count(1_000_000_000)
    with open_store(tmp_path, clock=lambda: float(next(ticks))) as opened:
        yield opened


def matches(store: Store, question: str, **how: object) -> list[str]:
    hits = store.search(question, **how)  # type: ignore[arg-type]
    return ["".join(hit.snippet[a:b] + "|" for a, b in hit.marks) for hit in hits]


def test_two_chinese_characters(store: Store) -> None:
    chat = store.conversations.create().id
    store.messages.add(chat, "user", "知识图谱与大模型")
    store.messages.add(chat, "user", "图书的谱系")
    assert matches(store, "图谱") == ["图谱|"]
    assert matches(store, "谱系 图书") == ["图书|谱系|"]
    assert matches(store, "谱图") == []


@pytest.mark.parametrize(
    ("question", "marked"),
    [
        ("naive", ["Naïve|"]),
        ("NAÏVE", ["Naïve|"]),
        ("caf", ["cafe\u0301s|"]),
        ("well known", ["well|known|"]),
        ('"well known"', ["well-known|"]),
        ('"known well"', []),
        ("nown", []),
        ("vllm", ["vLLM|"]),
        ("用v", []),
        ("用 vll", ["用|vLLM|"]),
        ("->", ["->|"]),
        ("!", []),
    ],
)
def test_terms(store: Store, question: str, marked: list[str]) -> None:
    chat = store.conversations.create().id
    store.messages.add(chat, "user", "Naïve well-known cafe\u0301s: 用vLLM -> fast")
    assert matches(store, question) == marked


def test_titles_come_first_then_the_newest(store: Store) -> None:
    old = store.conversations.create(title="Sky").id
    store.messages.add(old, "user", "sky one")
    new = store.conversations.create(title="Other").id
    store.messages.add(new, "user", "sky two")
    store.messages.add(old, "user", "sky three")
    assert [hit.snippet for hit in store.search("sky")] == [
        "Sky",
        "sky three",
        "sky two",
        "sky one",
    ]
    assert [hit.snippet for hit in store.search("sky", limit=2)] == ["Sky", "sky three"]
    store.conversations.archive(new)
    assert len(store.search("sky")) == 4
    assert len(store.search("sky", archived=False)) == 3
    store.conversations.delete(old)
    assert [hit.snippet for hit in store.search("sky")] == ["sky two"]


def test_other_branches_are_searched(store: Store) -> None:
    chat = store.conversations.create().id
    question = store.messages.add(chat, "user", "Why?")
    for text in ("one", "two"):
        answer = store.messages.begin(chat, parent=question.id)
        store.messages.finish(answer.id, MessageState.COMPLETE, text)
    (hit,) = store.search("one")
    assert hit.message is not None
    store.messages.show(hit.message)
    assert store.messages.path(chat)[-1].id == hit.message


def test_a_snippet_is_one_safe_line_around_the_hit(store: Store) -> None:
    chat = store.conversations.create().id
    store.messages.add(chat, "user", "a\n" * 500 + "\x1b[31mneedle\x1b[0m\n" + "b\n" * 500)
    (hit,) = store.search("needle")
    assert hit.snippet.startswith("…") and hit.snippet.endswith("…")
    assert "\x1b" not in hit.snippet and "\n" not in hit.snippet
    assert [hit.snippet[a:b] for a, b in hit.marks] == ["needle"]


def test_history_and_notes(store: Store) -> None:
    a, b = (store.conversations.create().id for _n in range(2))
    for chat, text in ((a, "one"), (b, "two"), (a, "three")):
        store.messages.add(chat, "user", text)
        store.messages.add(chat, "assistant", "hm")
    assert store.messages.questions() == ["three", "two", "one"]
    assert store.messages.questions(a, limit=1) == ["three"]
    assert store.recall("last", "none") == "none"
    store.remember("last", a)
    store.remember("last", b)
    assert store.recall("last") == b


def test_calls_from_an_event_loop_keep_their_order(store: Store) -> None:
    async def talk() -> str:
        run = StoreThread()
        try:
            chat = await run(store.conversations.create, title="t")
            answer = await run(store.messages.begin, chat.id)
            calls = [run(store.messages.checkpoint, answer.id, "x" * n) for n in range(50)]
            done = await run(store.messages.finish, answer.id, MessageState.COMPLETE, "end")
            await asyncio.gather(*calls)
            return (await run(store.messages.get, done.id)).content
        finally:
            run.close()

    assert asyncio.run(talk()) == "end"


def test_a_cancelled_task_does_not_take_its_writing_with_it(store: Store) -> None:
    async def talk() -> list[str]:
        run = StoreThread()
        chat = store.conversations.create().id
        release = threading.Event()

        async def write() -> None:
            await run(store.messages.add, chat, "user", "kept")

        blocked = run(release.wait, 30)  # the thread is busy: the writing below waits its turn
        task = asyncio.create_task(write())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        release.set()
        await blocked
        run.close()
        return store.messages.questions(chat)

    assert asyncio.run(talk()) == ["kept"]
