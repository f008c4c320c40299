"""Messages as a tree: what is shown, what is kept, what an answer goes through."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.store import (
    MessageState,
    Parsed,
    Store,
    StoredConversation,
    StoreError,
    StoreProblem,
    open_store,
    parse_document,
    parse_messages,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def chat(store: Store) -> StoredConversation:
    return store.conversations.create(title="Sky", model="demo")


def texts(store: Store, chat: StoredConversation) -> list[str]:
    nodes = store.messages.path(chat.id)
    return [m.content for m in store.messages.bodies(n.id for n in nodes)]


def answered(store: Store, chat: StoredConversation, text: str, parent: int | None = None) -> int:
    where = {} if parent is None else {"parent": parent}
    answer = store.messages.begin(chat.id, model="demo", **where)  # type: ignore[arg-type]
    return store.messages.finish(answer.id, MessageState.COMPLETE, text).id


def test_a_question_and_its_answer_are_the_path(store: Store, chat: StoredConversation) -> None:
    question = store.messages.add(chat.id, "user", "Why?")
    answer = store.messages.begin(chat.id, model="demo", used={"sampling": {"seed": 1}})
    assert answer.state is MessageState.STREAMING
    store.messages.checkpoint(answer.id, "Be", "hm")
    assert store.messages.get(answer.id).content == "Be"
    done = store.messages.finish(
        answer.id,
        MessageState.COMPLETE,
        "Because.\nSo.",
        "hm, yes",
        finish_reason="stop",
        usage={"completion_tokens": 3},
        timings={"total_seconds": 1.5},
    )
    assert (done.content, done.reasoning, done.finish_reason) == (
        "Because.\nSo.",
        "hm, yes",
        "stop",
    )
    assert done.used == {"sampling": {"seed": 1}}
    first, second = store.messages.path(chat.id)
    assert (first.id, first.parent, second.parent) == (question.id, None, question.id)
    assert (second.chars, second.lines, second.reasoning_chars) == (12, 2, 7)
    assert store.conversations.get(chat.id).messages == 2


def test_regenerating_makes_a_sibling_and_each_can_be_selected(
    store: Store, chat: StoredConversation
) -> None:
    question = store.messages.add(chat.id, "user", "Why?")
    one = answered(store, chat, "one")
    store.messages.add(chat.id, "user", "And?")
    two = answered(store, chat, "two", parent=question.id)
    assert texts(store, chat) == ["Why?", "two"]
    assert store.messages.siblings(two) == [one, two]
    assert [(n.sibling, n.siblings) for n in store.messages.path(chat.id)] == [(0, 1), (1, 2)]
    store.messages.show(one)
    assert texts(store, chat) == ["Why?", "one", "And?"]


def test_an_edited_first_question_is_another_root(store: Store, chat: StoredConversation) -> None:
    old = store.messages.add(chat.id, "user", "Wy?")
    answered(store, chat, "What?")
    new = store.messages.add(chat.id, "user", "Why?", parent=None)
    assert texts(store, chat) == ["Why?"]
    assert store.messages.siblings(new.id) == [old.id, new.id]


def test_selecting_a_message_on_the_path_changes_nothing(
    store: Store, chat: StoredConversation
) -> None:
    question = store.messages.add(chat.id, "user", "Why?")
    one = answered(store, chat, "one")
    answered(store, chat, "two", parent=question.id)
    store.messages.show(one)
    store.messages.show(question.id)
    assert texts(store, chat) == ["Why?", "one"]


def test_the_path_can_be_cut_and_had_back(store: Store, chat: StoredConversation) -> None:
    store.messages.add(chat.id, "user", "Why?")
    answer = answered(store, chat, "So.")
    store.messages.set_leaf(chat.id, None)
    assert texts(store, chat) == []
    store.messages.show(answer)
    assert texts(store, chat) == ["Why?", "So."]


def test_a_stopped_answer_goes_on(store: Store, chat: StoredConversation) -> None:
    answer = store.messages.begin(chat.id)
    store.messages.finish(answer.id, MessageState.STOPPED, "half")
    assert [hit.message for hit in store.search("half")] == [answer.id]
    store.messages.resume(answer.id)
    assert store.search("half") == []  # found again when it has ended
    store.messages.finish(answer.id, MessageState.COMPLETE, "half and half")
    assert [hit.message for hit in store.search("and")] == [answer.id]


def test_an_answer_that_has_ended_is_not_written_to(store: Store, chat: StoredConversation) -> None:
    answer = answered(store, chat, "whole")
    for write in (
        lambda: store.messages.checkpoint(answer, "ha"),
        lambda: store.messages.finish(answer, MessageState.ERROR, "ha"),
    ):
        with pytest.raises(StoreError) as caught:
            write()
        assert caught.value.problem is StoreProblem.BUSY
    assert store.messages.get(answer).content == "whole"


def test_a_fork_is_a_copy_of_the_path(store: Store, chat: StoredConversation) -> None:
    question = store.messages.add(chat.id, "user", "Why?")
    answered(store, chat, "one")
    two = answered(store, chat, "two", parent=question.id)
    store.messages.add(chat.id, "user", "And?")
    copy = store.conversations.fork(chat.id, two)
    assert texts(store, copy) == ["Why?", "two"]
    store.messages.add(copy.id, "user", "Else?")
    assert texts(store, chat) == ["Why?", "two", "And?"]


def test_a_fork_of_an_answer_on_its_way_has_what_was_stored_of_it(
    store: Store, chat: StoredConversation
) -> None:
    answer = store.messages.begin(chat.id)
    store.messages.checkpoint(answer.id, "So far")
    copy = store.conversations.fork(chat.id)
    (node,) = store.messages.path(copy.id)
    assert node.state is MessageState.STOPPED  # nobody will end it
    assert store.messages.get(node.id).content == "So far"
    assert store.messages.get(answer.id).state is MessageState.STREAMING


def test_forks_have_numbered_titles(store: Store, chat: StoredConversation) -> None:
    store.messages.add(chat.id, "user", "Why?")
    copy = store.conversations.fork(chat.id)
    titles = [store.conversations.fork(key).title for key in (chat.id, copy.id)]
    assert [copy.title, *titles] == ["Sky (2)", "Sky (3)", "Sky (4)"]
    store.conversations.delete(copy.id)  # it may come back
    store.conversations.rename(chat.id, "1984 (1949)")
    assert store.conversations.fork(chat.id).title == "1984 (1949) (2)"
    store.conversations.rename(chat.id, "")
    assert store.conversations.fork(chat.id).title == ""


def test_what_is_written_together_is_there_or_not(store: Store, chat: StoredConversation) -> None:
    with pytest.raises(StoreError), store.together():
        made = store.conversations.create(title="t")
        store.messages.add(made.id, "user", "Why?")
        store.messages.get(10**6)
    assert [c.id for c in store.conversations.list()] == [chat.id]


def test_a_message_of_another_conversation_is_no_parent(
    store: Store, chat: StoredConversation
) -> None:
    other = store.conversations.create()
    question = store.messages.add(other.id, "user", "Why?")
    with pytest.raises(StoreError, match="no message"):
        store.messages.add(chat.id, "user", "And?", parent=question.id)
    assert texts(store, chat) == []


def test_a_question_empties_the_draft(store: Store, chat: StoredConversation) -> None:
    store.conversations.set_draft(chat.id, "Wh")
    assert store.conversations.get(chat.id).draft == "Wh"
    store.messages.add(chat.id, "user", "Why?")
    assert store.conversations.get(chat.id).draft == ""


def test_tool_calls_and_parts_go_back_as_they_came(store: Store, chat: StoredConversation) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    call = store.messages.add(chat.id, "assistant", "", extra={"tool_calls": calls})
    assert store.messages.get(call.id).for_api() == {
        "role": "assistant",
        "content": None,
        "tool_calls": calls,
    }
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}]
    message = store.messages.add(chat.id, "user", "see", extra={"content": parts})
    assert message.for_api() == {"role": "user", "content": parts}


def test_deleting_is_undone_until_it_is_purged(store: Store, chat: StoredConversation) -> None:
    store.messages.add(chat.id, "user", "Why?")
    answered(store, chat, "So.")
    store.conversations.delete(chat.id)
    assert store.conversations.list() == []
    assert store.search("why") == []
    assert [c.id for c in store.conversations.list(deleted=True)] == [chat.id]
    store.conversations.restore(chat.id)
    assert texts(store, chat) == ["Why?", "So."]
    store.conversations.delete(chat.id)
    assert store.conversations.purge(older_than=3600) == 0
    assert store.conversations.purge() == 1
    with pytest.raises(StoreError, match="no conversation"):
        store.conversations.get(chat.id)
    assert store.search("sky") == store.search("why") == []


def test_a_deleted_conversation_is_purged_at_its_age_and_not_before(tmp_path: Path) -> None:
    now = 1_000_000.0
    with open_store(tmp_path, clock=lambda: now) as store:
        chat = store.conversations.create(title="Sky")
        store.conversations.delete(chat.id)
        now += 3599
        assert store.conversations.purge(older_than=3600) == 0
        now += 1
        assert store.conversations.purge(older_than=3600) == 1


def test_a_persons_title_is_not_replaced_by_a_models(
    store: Store, chat: StoredConversation
) -> None:
    assert store.conversations.rename(chat.id, "Made up", named=False).title == "Made up"
    store.conversations.rename(chat.id, "Mine")
    assert store.conversations.rename(chat.id, "Made up", named=False).title == "Mine"
    assert [hit.snippet for hit in store.search("mine")] == ["Mine"]
    assert store.search("made") == []


def test_the_list_has_pinned_ones_first_and_leaves_archived_ones_out(store: Store) -> None:
    a, b, c = (store.conversations.create(title=t) for t in "abc")
    store.messages.add(a.id, "user", "x")
    store.conversations.pin(b.id)
    store.conversations.archive(c.id)
    assert [x.title for x in store.conversations.list()] == ["b", "a"]
    assert [x.title for x in store.conversations.list(archived=True)] == ["c"]
    assert {x.title for x in store.conversations.list(archived=None)} == set("abc")


def test_an_id_matches_by_prefix(store: Store, chat: StoredConversation) -> None:
    assert [c.id for c in store.conversations.find(chat.id[:6].upper())] == [chat.id]
    assert store.conversations.find("") == []
    assert store.conversations.find("'; --") == []


def test_lone_surrogates_and_nul_are_stored(store: Store, chat: StoredConversation) -> None:
    made = store.messages.add(chat.id, "user", "a\0b\ud800c")
    assert store.messages.get(made.id).content == "a\0b\ufffdc"
    assert [hit.message for hit in store.search("b")] == [made.id]


def test_lone_surrogates_are_stored_in_any_column(store: Store, chat: StoredConversation) -> None:
    bad, good = "a\ud800", "a\ufffd"
    assert store.conversations.set_server(chat.id, bad, bad).model == good
    made = store.conversations.create(title=bad, server=bad, model=bad, system=bad)
    assert (made.server, made.model) == (good, good)
    answer = store.messages.begin(made.id, model=bad)
    assert answer.model == good
    done = store.messages.finish(answer.id, MessageState.ERROR, bad, finish_reason=bad, model=bad)
    assert (done.finish_reason, done.model) == (good, good)
    store.remember("note", bad)
    assert store.recall("note") == good
    with open_store(store.path.parent.parent / "other") as other:
        assert other.load([parse_document(store.dump(made.id))]).added == (made.id,)


def test_what_is_written_out_while_an_answer_streams_can_be_read_back(
    store: Store, chat: StoredConversation
) -> None:
    answer = store.messages.begin(chat.id)
    store.messages.checkpoint(answer.id, "So far")
    document = store.dump(chat.id) | {"id": "0000000000"}
    (key,) = store.load([parse_document(document)]).added
    (node,) = store.messages.path(key)
    assert node.state is MessageState.STOPPED
    assert store.messages.get(node.id).content == "So far"


def test_what_was_imported_and_deleted_can_be_imported_again(store: Store) -> None:
    parsed = parse_messages({"messages": [{"role": "user", "content": "Why?"}]})
    (first,) = store.load([parsed]).added
    assert store.load([parsed]).added == ()
    store.conversations.delete(first)
    assert len(store.load([parsed]).added) == 1


def test_an_import_holds_the_lock_for_what_it_adds_alone(
    store: Store, chat: StoredConversation
) -> None:
    def line(n: int) -> Parsed:
        return parse_messages({"messages": [{"role": "user", "content": f"line {n}"}]})

    def statements(*parsed: Parsed) -> int:
        statements: list[str] = []
        connection = store._db._connection
        connection.set_trace_callback(statements.append)
        store.load(parsed)
        connection.set_trace_callback(None)
        return len(statements) - statements.index("BEGIN IMMEDIATE")

    document = parse_document({"title": "a", "messages": [], "id": "0000000000"})
    before = statements(line(1), document)
    for n in range(10, 40):
        store.messages.add(chat.id, "user", f"text {n}")
        store.load([line(n)])
    other = parse_document({"title": "b", "messages": [], "id": "0000000001"})
    assert statements(line(2), other) == before
