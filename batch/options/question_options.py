"""Questions about each row, their gold answers, several samples, and checks of the answers."""

from dataclasses import dataclass

import click

from ...i18n import _
from .collecting import collected

_OPTIONS = (
    click.option(
        "--ask",
        metavar="FILE.yaml",
        help=_(
            "Ask typed questions about each row (choice, yesno, score), answered with "
            "probabilities: columns NAME, NAME_p, NAME_probs, NAME_mass."
        ),
    ),
    click.option(
        "--swap/--no-swap",
        default=True,
        help=_(
            "Ask each question with its options in both orders, and take the mean: twice the "
            "requests, without the bias of the order.  [default: swap]"
        ),
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        metavar="P",
        help=_("Rows whose least sure answer has a probability below P are unsure."),
    ),
    click.option(
        "--review",
        metavar="FILE",
        help=_(
            "Write the unsure rows to this .csv or .jsonl, ready to be labelled.  [default: "
            "OUT.review.csv, where --threshold is given]"
        ),
    ),
    click.option(
        "--gold",
        metavar="FILE",
        help=_(
            "Compare the answers with the labels of this table: accuracy, Brier, calibration. "
            "Its columns are named as the questions, or as the columns of --choice and --extract."
        ),
    ),
    click.option(
        "--key",
        default="custom_id",
        show_default=True,
        metavar="COLUMN",
        help=_("The column that --gold and the rows have in common."),
    ),
    click.option(
        "--samples",
        type=click.IntRange(1, 1000),
        metavar="N",
        default=1,
        help=_("Ask each row N times; each answer is a line of its own."),
    ),
    click.option(
        "--vote",
        is_flag=True,
        help=_(
            "Write the majority of each row's samples to OUT.votes.jsonl: of --choice, --regex or "
            "the columns of --extract, with its share. A row whose samples all failed has no line."
        ),
    ),
    click.option(
        "--verify",
        type=click.IntRange(1),
        metavar="N",
        help=_(
            "At the end, ask N answered rows again, alone and in company, and tell how many "
            "answers are the same."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class QuestionOptions:
    """Options of the groups "Form" and "Sampling" that ask more of each row."""

    ask: str | None
    swap: bool
    threshold: float | None
    review: str | None
    gold: str | None
    key: str
    samples: int
    vote: bool
    verify: int | None


question_options = collected("questions", QuestionOptions, _OPTIONS)
