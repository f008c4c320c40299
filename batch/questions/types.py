"""The types of questions, their letters and the columns that they add."""

import enum
import string

LABELS = string.ascii_uppercase
"""What options are called in a prompt: letters, which are one token in every vocabulary."""

COLUMN_ENDINGS = ("", "_p", "_probs", "_mass")
"""Endings of the columns that a question adds, after its name."""


class QuestionType(enum.StrEnum):
    """The type of a question: its options are words, yes and no, or whole numbers."""

    CHOICE = "choice"
    YESNO = "yesno"
    SCORE = "score"
