"""The prompts of OpenAI rows, whose results name the row but do not hold it."""

import contextlib
from collections import defaultdict
from pathlib import Path

from ...errors import QchatError
from ..inputs.discovery import InputFile
from ..inputs.formats.remote import is_url
from ..inputs.row_defaults import RowDefaults
from ..inputs.rows import read_rows
from ..inputs.samples import split_key
from ..journal.records import prompt_of
from ..request import Request
from .excerpts import excerpt
from .reading import RunReport, Sample


def add_prompts(report: RunReport, folder: Path, encoding: str = "utf-8") -> None:
    """Read the prompts of the samples that have none from the inputs that the manifest names.

    `folder` is that of the results. An input that is gone, and a row whose custom_id is another
    one, leave the sample as it is.
    """
    manifest = report.manifest
    if manifest is None:
        return
    by_input: dict[str, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in report.all_samples():
        number = sample.input
        if sample.prompt is not None or not isinstance(number, int):
            continue
        if 0 <= number < len(manifest.inputs):
            sample.input, _number = split_key(manifest.inputs[number])
            by_input[sample.input][sample.line].append(sample)
    for name, samples in by_input.items():
        path = folder / name
        if is_url(name) or not path.is_file():
            continue
        with contextlib.suppress(QchatError, OSError):
            _read(InputFile(name, path), samples, encoding)


def _read(source: InputFile, samples: dict[int, list[Sample]], encoding: str) -> None:
    lines = sorted(samples)

    def next_line(line: int) -> int | None:
        return next((at for at in lines if at >= line), None)

    defaults = RowDefaults(model="?", encoding=encoding)
    for row in read_rows(source.path, 0, defaults, next_line=next_line):
        for sample in samples.get(row.line, ()):
            if isinstance(row, Request) and _is_same(row, sample):
                sample.prompt = excerpt(prompt_of(row.body))


def _is_same(row: Request, sample: Sample) -> bool:
    return not row.names_itself or row.custom_id == sample.custom_id
