"""Asking the terminal how far it has drawn, and how wide an emoji is: answers, late ones, none."""

from qchat.tui.terminal_questions import TerminalQuestions

from .slow_line import bytes_until_echo

QUESTION = "\x1b[6n"
FRAME = "x" * 4_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_that_draws_slowly_is_waited_for() -> None:
    questions = TerminalQuestions(Clock())
    assert questions.with_question(FRAME) == FRAME  # nobody wants to know
    assert not questions.is_behind()
    assert questions.with_question("due") == "due" + QUESTION
    questions.answered(0)
    assert questions.with_question("small") == "small"
    assert questions.with_question(FRAME) == FRAME + QUESTION
    assert questions.is_behind()
    assert questions.with_question("an echo") == "an echo"
    questions.answered(0)
    assert not questions.is_behind()
    questions.answered(0)  # an answer to nothing


def test_one_that_never_answers_is_not_waited_for() -> None:
    clock = Clock()
    questions = TerminalQuestions(clock)
    questions.is_behind()
    questions.with_question(FRAME)
    clock.now = 2.9
    assert questions.is_behind()
    clock.now = 3.1
    assert not questions.is_behind()
    assert questions.with_question(FRAME) == FRAME and not questions.is_behind()


def test_one_whose_first_answer_is_late_is_waited_for_from_then_on() -> None:
    clock = Clock()
    questions = TerminalQuestions(clock)
    questions.is_behind()
    questions.with_question(FRAME)
    clock.now = 3.1
    assert not questions.is_behind()
    questions.answered(0)
    assert questions.with_question(FRAME) == FRAME + QUESTION and questions.is_behind()
    questions.answered(0)
    assert not questions.is_behind()


def test_one_that_has_answered_is_waited_for_longer() -> None:
    clock = Clock()
    questions = TerminalQuestions(clock)
    questions.is_behind()
    questions.with_question(FRAME)
    questions.answered(0)
    questions.with_question(FRAME)
    clock.now = 9.0
    assert questions.is_behind()
    clock.now = 11.0
    assert not questions.is_behind()
    assert questions.with_question(FRAME).endswith(QUESTION)  # and asked again


def test_the_width_of_an_emoji() -> None:
    widths: list[int] = []
    questions = TerminalQuestions(Clock())
    sequence = questions.emoji_width(24, widths.append)
    assert sequence.count(QUESTION) == 1 and sequence.startswith("\x1b7\x1b[24;1H")
    assert widths == []
    questions.answered(1)
    questions.answered(2)
    assert widths == [1]


def test_a_typed_letter_is_seen_soon_on_a_slow_line() -> None:
    # At 30 KB/s 300 ms are 9,000 bytes; without questions it takes ten times as many.
    assert max(bytes_until_echo(answers=True)) < 9_000
