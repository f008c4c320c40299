"""Thoughts that were cut, in the lines of a results file: what the lines teach, and their mending.

A cut thought that came before the model's first whole answer was taken for the answer. At the end
of the run, when it is known what it is, its line is written anew.
"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..files import replacing
from ..json_types import JsonObject
from .background import WorkCounter
from .inputs.row_defaults import RowDefaults
from .journal.appender import parsed_lines
from .journal.records import THOUGHT, UNOPENED, dump_line
from .journal.rewriting import loads
from .thoughts import ThoughtForms, ThoughtKey, thought_key

_LEARNED_LINES = 1000
_SWITCH = "chat_template_kwargs"
_CUT = b'"length"'  # in each line that may have to be mended


def learned_thoughts(results: Path | None, defaults: RowDefaults) -> ThoughtForms:
    """Return what the first lines of a results file teach; nothing where there is none."""
    forms = ThoughtForms()
    if results is None or not results.exists():
        return forms
    for _offset, record in islice(parsed_lines(results, WorkCounter()), _LEARNED_LINES):
        mark = record.get(defaults.prefix + "_qchat") if isinstance(record, dict) else None
        if not isinstance(mark, Mapping):
            continue
        reasons, thoughts = (
            _listed(record.get(defaults.prefix + name)) for name in ("finish_reason", "reasoning")
        )
        is_unopened = mark.get(THOUGHT) == UNOPENED
        is_plain = "length" not in reasons and not any(thoughts)
        if is_unopened or is_plain:
            forms.count(_key(record, mark, defaults), is_unopened=is_unopened)
    return forms


def mend_thoughts(
    results: Path, forms: ThoughtForms, defaults: RowDefaults, counter: WorkCounter
) -> int:
    """Write the lines anew whose output is a cut thought, in one step; return how many there were.

    Raises `OSError` and `WorkCancelledError`.
    """
    if not forms.any_unopened or not results.exists():
        return 0
    count = 0
    with results.open("rb", buffering=1 << 20) as old:
        for line in old:
            counter.check()
            if _mended(line, forms, defaults) is not None:
                break
        else:
            return 0
        old.seek(0)
        with replacing(results, results.stat().st_mode & 0o777) as new:
            for line in old:
                counter.check()
                mended = _mended(line, forms, defaults)
                count += mended is not None
                new.write(line if mended is None else dump_line(mended))
    return count


def _mended(line: bytes, forms: ThoughtForms, defaults: RowDefaults) -> JsonObject | None:
    """Return a line with its cut thoughts as reasoning; None where it has none as output."""
    if _CUT not in line:
        return None
    record: JsonObject = loads(line)
    mark, prefix = record.get(defaults.prefix + "_qchat"), defaults.prefix
    if not isinstance(mark, Mapping) or not forms.are_unopened(_key(record, mark, defaults)):
        return None
    names = [prefix + name for name in ("output", "reasoning", "finish_reason")]
    if any(name not in record for name in names):
        return None
    several = isinstance(record[names[2]], list)
    choices = list(zip(*(_listed(record[name]) for name in names), strict=False))
    moved = [
        (None, output, reason)
        if reason == "length" and isinstance(output, str) and output and not thought
        else (output, thought, reason)
        for output, thought, reason in choices
    ]
    if moved == choices:
        return None
    for name, values in zip(names, zip(*moved, strict=True), strict=True):
        record[name] = list(values) if several else values[0]
    return record


def _key(record: JsonObject, mark: Mapping[str, Any], defaults: RowDefaults) -> ThoughtKey:
    """Return what `thought_key` gives for the request that the line answers."""
    own = record if defaults.takes_parameters else {}
    names = (
        *(defaults.model if isinstance(defaults.model, str) else None, own.get("model")),
        *(defaults.fallback_model, mark.get("model"), record.get(defaults.prefix + "model")),
    )
    switch = own.get(_SWITCH)
    body: JsonObject = {"messages": []} | ({} if switch is None else {_SWITCH: switch})
    return thought_key({**defaults.sampling.fill(body), "model": next(filter(None, names), None)})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
