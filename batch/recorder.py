"""Records outcomes: each becomes a line of the results or of the errors file."""

import time
from collections.abc import Sequence

from .inputs.row_defaults import RowDefaults
from .inputs.samples import place_of, split_key
from .journal.records import error_line, result_line
from .journal.sink import Sink
from .refusals import RecordOutcome
from .request import Outcome, Request, RowKind
from .run_stats import RunStats
from .thoughts import ThoughtForms, has_unopened_thought


def make_recorder(
    keys: Sequence[str],
    defaults: RowDefaults,
    sink: Sink,
    stats: RunStats,
    thoughts: ThoughtForms,
) -> RecordOutcome:
    """Return the function that records an outcome; `keys` are the names of the inputs, and
    `thoughts` is what is known of the models' thoughts and learns more."""
    places = [split_key(key) for key in keys]
    files = len(keys) // defaults.samples
    last = (0, 0, 0)

    def record(request: Request, outcome: Outcome, attempts: int) -> None:
        nonlocal last
        (name, sample), number = places[request.file], sink.number(request.file)
        place = place_of(request.file, request.line, files)
        stats.unordered |= place < last
        last = place
        if outcome.failure is not None and sink.keep_earlier(request.file, request.line):
            stats.add_kept()
            return
        if outcome.body is not None:
            is_openai = request.kind is RowKind.OPENAI  # whose bodies stay as they are
            line = result_line(
                request,
                outcome.body if is_openai else thoughts.read(request, outcome.body),
                name=name,
                number=number,
                sample=sample if defaults.samples > 1 else None,
                attempts=attempts,
                prefix=defaults.prefix,
                keep_prompt=defaults.keep_prompt,
                again=outcome.again,
                extract=defaults.extract,
                seconds=None if outcome.copied else outcome.seconds,
                at=time.time(),
                is_unopened=not is_openai and has_unopened_thought(outcome.body),
            )
            sink.add_result(request.file, request.line, line)
        else:
            assert outcome.failure is not None
            line = error_line(
                request,
                outcome.failure,
                name=name,
                number=number,
                sample=sample,
                attempts=attempts,
                body=outcome.rejected,
            )
            sink.add_error(request.file, request.line, line)
        stats.add(outcome)

    return record
