"""The options of a run that look at its answers."""

from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...i18n import _

REVIEW_ENDINGS = (".csv", ".jsonl")
"""Endings of the review file, which decide its format."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the answers are looked at; see ``qchat batch --help``. `threshold` is a probability,
    `verify` a number of rows. Raises `UsageError` for options that contradict each other."""

    threshold: float | None = None
    review: Path | None = None
    gold: Path | None = None
    key: str = "custom_id"
    vote: bool = False
    verify: int | None = None

    def __post_init__(self) -> None:
        if self.review is None:
            return
        if self.threshold is None:
            raise UsageError(
                _("--review needs --threshold: the probability below which a row is unsure.")
            )
        if self.review.suffix.lower() not in REVIEW_ENDINGS:
            text = _("--review {path}: give a name that ends in .csv or .jsonl.")
            raise UsageError(text.format(path=self.review))

    @property
    def needs_file(self) -> str | None:
        """The first of the options that need results on disk; None where none is given."""
        values = {
            "--gold": self.gold,
            "--threshold": self.threshold,
            "--vote": self.vote or None,
            "--verify": self.verify,
        }
        return next((name for name, value in values.items() if value is not None), None)
