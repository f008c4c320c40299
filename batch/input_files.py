"""The input files of a job: what its names stand for, without the files that its runs write."""

from collections.abc import Sequence
from pathlib import Path

from .evaluation.predictions import AnswerReader
from .evaluation.review import is_review_of
from .inputs.discovery import InputFile, expand_inputs
from .job import BatchJob
from .journal.manifest import is_own_output


def inputs_of(job: BatchJob) -> Sequence[InputFile]:
    """Resolve the names of a job's inputs; see `expand_inputs`. Raises `UsageError`."""
    review = job.evaluation.review
    names = () if review is None else AnswerReader.of(job.defaults).names

    def is_output(path: Path) -> bool:
        is_review = review is not None and is_review_of(path, review, names)
        return is_review or is_own_output(path)

    return expand_inputs(job.inputs, is_output, job.defaults.encoding)
