"""Questions in YAML: read as they are written, refused with the line."""

import re
from pathlib import Path

import pytest
from qchat.batch.questions.definition import parse_questions, read_questions
from qchat.batch.questions.types import QuestionType

from qchat.errors import UsageError

GOOD = """\
system: You label product reviews.
text: "{{ review }}"
questions:
  - {name: mood, type: choice, ask: "How does the customer feel?", options: [good, bad, mixed]}
  - {name: refund, type: yesno, ask: "Does the customer want money back?"}
  - {name: stars, type: score, ask: "How many stars?", range: [1, 5]}
"""


def test_the_questions_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    path.write_text("\ufeff" + GOOD)
    questions = read_questions(str(path))
    assert [question.name for question in questions.questions] == ["mood", "refund", "stars"]
    assert [question.type for question in questions.questions] == list(QuestionType)
    assert questions.questions[1].options == ("yes", "no")
    assert questions.questions[2].options == ("1", "2", "3", "4", "5")
    assert questions.template is not None and questions.template.columns == {"review"}
    assert questions.answer_columns[:4] == ("mood", "mood_p", "mood_probs", "mood_mass")
    assert questions.requests_per_row == 6
    assert read_questions(str(path), swap=False).requests_per_row == 3


def test_options_are_words_as_they_are_written() -> None:
    text = "questions:\n- {name: q, type: choice, ask: 'Is it?', options: [yes, No, on, 1.0, null]}"
    assert parse_questions(text, "q.yaml").questions[0].options == (
        "yes",
        "No",
        "on",
        "1.0",
        "null",
    )


def test_the_text_of_a_question_is_a_template() -> None:
    text = "questions:\n- {name: q, type: yesno, ask: 'Is {{ product }} good?'}"
    questions = parse_questions(text, "q.yaml")
    assert questions.columns == {"product"}
    (question,) = questions.body({"product": "{{ a cup }}"})["questions"]
    assert question["ask"] == "Is {{ a cup }} good?"


Q = "{name: a, type: yesno, ask: b}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: this must be a mapping"),
        ("- a", "line 1: this must be a mapping"),
        ("questions: [", "this is not YAML"),
        ("text: a", "line 1: 'questions' is missing"),
        ("questions: []", "line 1: 'questions' has no question"),
        ("questions: a", "line 1: 'questions' must be a list"),
        (f"question: [{Q}]", "line 1: there is no 'question' here .did you mean 'questions'"),
        (f"text: a\ntext: b\nquestions: [{Q}]", "line 2: 'text' stands here twice"),
        (f"questions:\n- {Q}\n- {Q}", "line 3: two questions are called 'a'"),
        (
            f"questions:\n- {Q}\n- {{name: a_p, type: yesno, ask: c}}",
            "line 3: the question 'a_p' adds the column 'a_p', as 'a' does",
        ),
        ("questions:\n- {name: model, type: yesno, ask: b}", "line 2: .* adds the column 'model'"),
        ("questions:\n- {type: yesno, ask: b}", "line 2: the question has no 'name'"),
        ("questions:\n- {name: a, type: yesno}", "line 2: the question has no 'ask'"),
        ("questions:\n- {name: a, type: maybe, ask: b}", "line 2: 'type' is 'maybe'"),
        ("questions:\n- {name: a, type: choice, ask: b}", "needs 'options'"),
        ("questions:\n- {name: a, type: score, ask: b}", "needs 'range'"),
        ("questions:\n- {name: a, type: yesno, ask: b, options: [c, d]}", "has no 'options'"),
        ("questions:\n- {name: a, type: choice, ask: b, options: [c]}", "1 option; a question"),
        ("questions:\n- {name: a, type: choice, ask: b, options: [c, c]}", "two options are the"),
        (
            f"questions:\n- {{name: a, type: choice, ask: b, options: {list(range(27))}}}",
            "line 2: 27 options; a question has 2 to 26",
        ),
        ("questions:\n- {name: a, type: score, ask: b, range: [1, x]}", "two whole numbers"),
        ("questions:\n- {name: a, type: score, ask: b, range: [0, 26]}", "27 options"),
        ("questions:\n- {name: a, type: score, ask: b, range: [5, 1]}", r"'range' is \[5, 1\]"),
        ("questions:\n- {name: a, type: yesno, ask: '{{ x'}", "line 2: 'ask'"),
        ("questions:\n- {name: a, type: yesno, ask: ''}", "line 2: 'ask' is empty"),
        ("questions:\n- {name: [a], type: yesno, ask: b}", "'name' must be a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)^q\.yaml, line .*|^q\.yaml") as error:
        parse_questions(text, "q.yaml")
    assert re.search(message, str(error.value)), str(error.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_questions("none.yaml")


def test_a_file_of_aliases_does_not_grow() -> None:
    levels = "\n".join(f"  - &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40))
    with pytest.raises(UsageError, match="must be a mapping"):
        parse_questions(f"questions:\n  - &a0 [x]\n{levels}\n", "q.yaml")
