"""Whatever is done, nothing that was stored is lost, and what was stored is found."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from qchat.store import ROLES, MessageState, open_store, parse_document, parse_messages

TEXT = st.text(max_size=40)
VOCABULARY = st.lists(
    st.sampled_from(
        ["天空", "蓝色", "知识图谱", "sky", "Blue", "café", "日本語", "한국어", "x1", "🎉"]
    ),
    min_size=1,
    max_size=8,
)
ENDS = st.sampled_from([MessageState.COMPLETE, MessageState.STOPPED, MessageState.ERROR])


class Tree(RuleBasedStateMachine):
    """A person at a conversation, against a plain list of what was stored."""

    done = Bundle("done")

    @initialize(target=done, text=TEXT)
    def open(self, text: str) -> int:
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(Path(self.folder.name))
        self.chat = self.store.conversations.create(title="a").id
        self.streaming: list[int] = []
        self.expected: dict[int, tuple[int | None, str]] = {}
        return self._add(text, None)

    def _stored(self, text: str) -> str:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)

    def _add(self, text: str, parent: int | None) -> int:
        made = self.store.messages.add(self.chat, "user", text, parent=parent)
        self.expected[made.id] = (parent, self._stored(text))
        return made.id

    @rule(target=done, parent=st.none() | done, text=TEXT)
    def ask(self, parent: int | None, text: str) -> int:
        return self._add(text, parent)

    @rule(parent=done)
    def begin(self, parent: int) -> None:
        made = self.store.messages.begin(self.chat, parent=parent)
        self.expected[made.id] = (parent, "")
        self.streaming.append(made.id)

    @precondition(lambda self: self.streaming)
    @rule(text=TEXT)
    def checkpoint(self, text: str) -> None:
        answer = self.streaming[-1]
        self.store.messages.checkpoint(answer, text)
        self.expected[answer] = (self.expected[answer][0], self._stored(text))

    @precondition(lambda self: self.streaming)
    @rule(target=done, state=ENDS, text=TEXT)
    def finish(self, state: MessageState, text: str) -> int:
        answer = self.streaming.pop(0)
        self.store.messages.finish(answer, state, text)
        self.expected[answer] = (self.expected[answer][0], self._stored(text))
        return answer

    @rule(message=done)
    def resume(self, message: int) -> None:
        if message not in self.streaming:
            self.store.messages.resume(message)
            self.streaming.append(message)

    @rule(message=done)
    def show(self, message: int) -> None:
        self.store.messages.show(message)
        assert message in [node.id for node in self.store.messages.path(self.chat)]

    @rule(leaf=st.none() | done)
    def cut(self, leaf: int | None) -> None:
        self.store.messages.set_leaf(self.chat, leaf)

    @rule(at=done)
    def fork(self, at: int) -> None:
        copy = self.store.conversations.fork(self.chat, at)
        texts = []
        number: int | None = at
        while number is not None:
            number, text = self.expected[number]
            texts.append(text)
        nodes = self.store.messages.path(copy.id)
        bodies = self.store.messages.bodies(node.id for node in nodes)
        assert [m.content for m in bodies] == texts[::-1]

    @rule()
    def delete_and_restore(self) -> None:
        self.store.conversations.delete(self.chat)
        self.store.conversations.purge(older_than=3600)
        self.store.conversations.restore(self.chat)

    @rule(target=done)
    def close_and_open(self) -> object:
        self.store.close()
        self.store = open_store(Path(self.folder.name))
        stopped, self.streaming = self.streaming, []
        assert all(self.store.messages.get(n).state is MessageState.STOPPED for n in stopped)
        return multiple(*stopped)

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "expected"):
            return
        nodes = self.store.messages.tree(self.chat)
        bodies = self.store.messages.bodies(node.id for node in nodes)
        assert {m.id: (m.parent, m.content) for m in bodies} == self.expected
        path = self.store.messages.path(self.chat)
        parents = [None, *(node.id for node in path)]
        assert [node.parent for node in path] == parents[: len(path)]
        for node in path:
            family = self.store.messages.siblings(node.id)
            assert (family[node.sibling], len(family)) == (node.id, node.siblings)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(ROLES), TEXT, st.integers(0, 9), st.none() | TEXT), max_size=8
    ),
    st.dictionaries(TEXT, JSON, max_size=3),
    st.none() | TEXT,
)
def test_export_import_export_is_the_same(
    turns: list[tuple[str, str, int, str | None]], values: dict[str, object], system: str | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Path(folder) / "a") as one:
            chat = one.conversations.create(title="t", system=system, settings=values).id
            made: list[int] = []
            for role, text, back, reasoning in turns:
                parent = made[-back] if 0 < back <= len(made) else None
                added = one.messages.add(
                    chat, role, text, parent=parent, reasoning=reasoning, extra=values
                )
                made.append(added.id)
            exported = one.dump(chat)
            lines = {"messages": one.for_api(chat)}
            assert one.load([parse_document(exported)]).added == ()
        with open_store(Path(folder) / "b") as two:
            assert two.load([parse_document(exported)]).added == (chat,)
            assert two.dump(chat) == exported
            assert two.load([parse_document(exported)]).duplicates == 1
        if lines["messages"]:
            with open_store(Path(folder) / "c") as three:
                (key,) = three.load([parse_messages(lines)]).added
                assert {"messages": three.for_api(key)} == lines


@settings(max_examples=80)
@given(VOCABULARY, st.data())
def test_a_search_matches_stored_text(words: list[str], data: st.DataObject) -> None:
    glue = data.draw(st.sampled_from(["", " ", "，", "\n"]))
    text = glue.join(words)
    start = data.draw(st.integers(0, len(text) - 1))
    piece = text[start : start + 2]
    questions = [piece] if all("\u4e00" <= c <= "\u9fff" for c in piece) else []
    if glue:  # a word of letters is found as a whole
        word = data.draw(st.sampled_from(words))
        questions += [word, word.upper(), word.lower()]
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        chat = store.conversations.create(title=text).id
        message = store.messages.add(chat, "user", text).id
        store.messages.add(chat, "user", "something else")
        for question in questions:
            title, hit = store.search(question)
            assert (title.message, hit.message) == (None, message)
            for result in (title, hit):
                assert result.marks
                for begin, end in result.marks:
                    assert 0 <= begin < end <= len(result.snippet)


@settings(max_examples=200)
@given(st.text(max_size=60) | st.text('"*^-+:(){}ANDORNT天 ', max_size=30), TEXT)
def test_no_question_is_an_error(question: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        chat = store.conversations.create(title=text).id
        store.messages.add(chat, "user", text)
        for hit in store.search(question):
            assert "\n" not in hit.snippet


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
