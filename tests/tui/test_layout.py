"""The long column of lines: heights, guesses that are set right, places that stay."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qchat.message_state import MessageState
from qchat.tui.markdown import DARK
from qchat.tui.transcript.heights import Heights
from qchat.tui.transcript.layout import Layout
from qchat.tui.transcript.message import Message, MessageView, PlainSplitter


@given(st.lists(st.integers(0, 9), max_size=60), st.data())
def test_heights_are_sums(values: list[int], data: st.DataObject) -> None:
    heights = Heights(values)
    for _change in range(5):
        if values:
            index = data.draw(st.integers(0, len(values) - 1))
            value = data.draw(st.integers(0, 9))
            assert heights.set(index, value) == value - values[index]
            values[index] = value
        cut = data.draw(st.integers(0, len(values)))
        if data.draw(st.booleans()):
            heights.truncate(cut)
            del values[cut:]
        values.append(3)
        heights.append(3)
    assert [heights[i] for i in range(len(heights))] == values
    assert [heights.before(i) for i in range(len(values) + 1)] == [
        sum(values[:i]) for i in range(len(values) + 1)
    ]
    rows = [(i, row) for i, value in enumerate(values) for row in range(value)]
    assert [heights.find(y) for y in range(heights.total)] == rows


@given(st.lists(st.text("ab \n", max_size=900), max_size=30))
def test_plain_text_is_cut_without_loss(chunks: list[str]) -> None:
    splitter = PlainSplitter()
    for chunk in chunks:
        splitter.feed(chunk)
    splitter.finish()
    whole = "".join(chunks)
    assert "".join(splitter.closed) == whole
    assert all(len(piece) <= 4_000 for piece in splitter.closed)


def conversation(count: int) -> list[Message]:
    texts = ["# Title\n\nA paragraph. " * 8, "- a\n- b\n  - c\n", "```py\nx = 1\n```"]
    texts.append("你好，" * 90)
    return [
        Message("user", f"question {i} " * (i % 7 + 1))
        if i % 2 == 0
        else Message("assistant", texts[i // 2 % len(texts)] * (i % 5 + 1))
        for i in range(count)
    ]


def text_in(layout: Layout, y: int, rows: int) -> list[str]:
    lines = []
    for row in range(y, min(y + rows, layout.total)):
        line = layout.line_at(layout.position_at(row))
        assert line is not None
        lines.append(line.text)
    return lines


def whole(messages: list[Message], width: int) -> list[str]:
    layout = Layout(DARK, width)
    layout.load(messages)
    layout.draw_window(0, 10**6)
    return text_in(layout, 0, layout.total)


@settings(max_examples=25)
@given(st.integers(1, 24), st.integers(12, 90), st.integers(1, 30))
def test_scrolling_up_shows_every_line_once(count: int, width: int, rows: int) -> None:
    messages = conversation(count)
    expected = whole(messages, width)
    layout = Layout(DARK, width)
    layout.load(messages)
    y = layout.draw_end(rows)
    window_lines = text_in(layout, y, rows)
    steps = 0
    while y > 0:
        y = layout.draw_window(y - 1, rows, upwards=True)
        window = text_in(layout, y, rows)
        assert window[1:] == window_lines[: rows - 1]
        window_lines.insert(0, window[0])
        steps += 1
        assert steps < 10_000
    assert window_lines == expected


@settings(max_examples=25)
@given(st.integers(1, 24), st.integers(12, 90), st.integers(1, 30))
def test_scrolling_down_shows_every_line_once(count: int, width: int, rows: int) -> None:
    messages = conversation(count)
    expected = whole(messages, width)
    layout = Layout(DARK, width)
    layout.load(messages)
    y = layout.draw_window(0, rows)
    window_lines = text_in(layout, y, rows)
    while True:
        following = layout.draw_window(y + 1, rows)
        if following == y:
            break
        assert following == y + 1
        y = following
        window_lines.append(text_in(layout, y, rows)[-1])
    assert window_lines == expected


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_jumping_anywhere_draws_what_is_seen(y: int, rows: int) -> None:
    layout = Layout(DARK, 60)
    layout.load(conversation(200))
    y = layout.draw_window(y % layout.total, rows)
    assert len(text_in(layout, y, rows)) == rows
    position = layout.position_at(y)
    assert layout.row_of(position) == y


def test_one_screen_of_ten_thousand_is_drawn() -> None:
    layout = Layout(DARK, 80)
    layout.load(conversation(10_000))
    layout.draw_end(40)
    assert sum(view.is_split for view in layout.messages) < 20


_CHUNKS = st.lists(
    st.sampled_from(["# a\n", "- b\n", "```\n", "c ", "\n", "|x|y|\n|-|-|\n", "**d** ", "> e\n"]),
    max_size=30,
)


@given(_CHUNKS, st.integers(12, 60))
def test_streaming_ends_as_the_whole_message(chunks: list[str], width: int) -> None:
    text = "".join(chunks)
    layout = Layout(DARK, width)
    layout.append(Message("user", "q"))
    index = layout.append(Message("assistant", state=MessageState.STREAMING))
    for chunk in chunks:
        layout.messages[index].feed(chunk, "", width)
        layout.update_height(index)
        layout.draw_end(8)
    done = Message("assistant", text)
    layout.messages[index].replace_text(done, width)
    layout.update_height(index)
    layout.draw_window(0, 10**6)
    assert text_in(layout, 0, layout.total) == whole([Message("user", "q"), done], width)


def test_a_closed_block_is_drawn_once() -> None:
    view = MessageView(Message("assistant", state=MessageState.STREAMING))
    layout = Layout(DARK, 40)
    layout.messages.append(view)
    layout.heights.append(1)
    view.feed("first\n\nsecond\n\nthird", "", 40)
    layout.update_height(0)
    layout.draw_window(0, 100)
    lines = [block.lines for block in view.blocks[1:3]]
    view.feed(" goes on\n\n- and on", "", 40)
    layout.update_height(0)
    layout.draw_window(0, 100)
    assert all(a is b.lines for a, b in zip(lines, view.blocks[1:3], strict=True))


def test_thinking_is_shown_as_it_comes_and_folds_when_the_answer_begins() -> None:
    layout = Layout(DARK, 40)
    index = layout.append(Message("assistant", state=MessageState.STREAMING))
    view = layout.messages[index]
    view.feed("", "I wonder", 40)
    layout.update_height(index)
    layout.draw_window(0, 100)
    assert any("I wonder" in text for text in text_in(layout, 0, 100))
    view.feed("Answer", "", 40)
    layout.update_height(index)
    layout.draw_window(0, 100)
    texts = text_in(layout, 0, 100)
    assert not any("I wonder" in text for text in texts) and any("Answer" in t for t in texts)
    view.thought_expanded = True
    view.rebuild(40)
    layout.update_height(index)
    layout.draw_window(0, 100)
    assert any("I wonder" in text for text in text_in(layout, 0, 100))
