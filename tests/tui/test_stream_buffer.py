"""What has arrived of an answer and is not drawn yet."""

from qchat.tui.transcript.stream_buffer import StreamBuffer


def test_a_sequence_that_is_cut_is_no_text() -> None:
    buffer = StreamBuffer()
    buffer.add(1, "a\x1b]0;tit", "")
    buffer.add(1, "le\x07b", "")
    assert list(buffer.take()) == [(1, "ab", "")]


def test_a_new_answer_in_the_place_of_another_begins_anew() -> None:
    for forget in (lambda buffer: buffer.truncate(1), StreamBuffer.clear, lambda b: b.end(1)):
        buffer = StreamBuffer()
        buffer.add(0, "question", "")
        buffer.add(1, "cut off in \x1b]0;a title", "in \x1b]0;one here")
        list(buffer.take())
        forget(buffer)
        buffer.add(1, "answer", "thought")
        assert list(buffer.take()) == [(1, "answer", "thought")]
