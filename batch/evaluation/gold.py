"""The labels that answers are compared with: `--gold FILE`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...i18n import _
from ..inputs.formats.opening import open_records
from ..inputs.line_json import loads_line
from ..inputs.lines import BadLineError
from ..outputs.cells import as_text
from ..questions.types import QuestionType
from .predictions import AnswerReader

_YES = frozenset({"yes", "y", "true", "1"})
_NO = frozenset({"no", "n", "false", "0"})
_WHOLE_FLOAT = re.compile(r"-?\d+\.0", re.ASCII)


@dataclass(frozen=True, slots=True)
class GoldLabels:
    """The labels of a file by the row's key: ``labels[key][name]``. `key` is the column's name,
    `whole` has the keys that are written as floats, by the whole number."""

    path: Path
    key: str
    labels: Mapping[str, Mapping[str, str]]
    whole: Mapping[str, str]

    def find(self, key: str) -> str | None:
        """Return the key by which the file has the labels of a row: the row's own, or the same
        number; None where it has none."""
        if key in self.labels:
            return key
        return _whole(key) if _whole(key) in self.labels else self.whole.get(key)


def read_gold(path: Path, key: str, reader: AnswerReader, encoding: str = "utf-8") -> GoldLabels:
    """Read a table of labels. Empty cells are rows without a label.

    Raises `UsageError` for a file without the key or any of the answers' columns, two rows with one
    key, and labels that no answer can have.
    """
    labels: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    names: set[str] = set()
    with open_records(path, encoding) as source:
        names.update(source.columns or ())
        while True:
            try:
                row = loads_line(next(source))
            except StopIteration:
                break
            except BadLineError as error:
                raise _error(path, source.number, error.message) from None
            except ValueError as error:
                raise _error(path, source.number, str(error)) from None
            except OSError as error:
                raise _error(path, source.number, error.strerror or str(error)) from None
            if not isinstance(row, dict) or row.get(key) in (None, ""):
                text = _("there is no '{key}' here, by which rows are found; see --key")
                raise _error(path, source.number, text.format(key=key))
            value = as_text(row[key])
            if value in labels:
                text = _("'{value}' is the {key} of line {line} too")
                message = text.format(value=value, key=key, line=lines[value])
                raise _error(path, source.number, message)
            names |= row.keys()
            labels[value] = _labels(row, reader, path, source.number)
            lines[value] = source.number
    if not names & set(reader.names):
        text = _(
            "{path} has none of the columns {names}, which would be labels; its columns: {own}."
        )
        own = ", ".join(sorted(names)) or _("none")
        raise UsageError(text.format(path=path, names=", ".join(reader.names), own=own))
    if not labels:
        raise UsageError(_("{path} has no row, and so no label to compare with.").format(path=path))
    whole = {_whole(value): value for value in labels if _whole(value) != value}
    return GoldLabels(path, key, labels, whole)


def _whole(key: str) -> str:
    """Return ``3`` for ``3.0``: pandas writes so the numbers of a column with an empty cell."""
    return key.removesuffix(".0") if _WHOLE_FLOAT.fullmatch(key) else key


def _labels(row: Mapping[str, Any], reader: AnswerReader, path: Path, line: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name in reader.names:
        text = as_text(row.get(name)).strip()
        if not text:
            continue
        label = _as_option(text, reader, name)
        options = reader.options.get(name, ())
        if options and label not in options:
            message = _("'{label}' is no answer of '{name}': {options}")
            message = message.format(label=text, name=name, options=", ".join(options))
            raise _error(path, line, message)
        labels[name] = label
    return labels


def _as_option(text: str, reader: AnswerReader, name: str) -> str:
    """Return a label as the options are written: ``true`` is yes, ``4.0`` is 4."""
    kind = reader.types.get(name)
    if kind is QuestionType.YESNO:
        word = text.casefold()
        return "yes" if word in _YES else "no" if word in _NO else text
    if kind is QuestionType.SCORE:
        try:
            number = float(text)
        except ValueError:
            return text
        return str(int(number)) if number.is_integer() else text
    return text


def _error(path: Path, line: int, message: str) -> UsageError:
    text = _("{path}, line {line}: {message}.")
    return UsageError(text.format(path=path, line=line, message=message.rstrip(".")))
