"""`--extract NAME=$.path`: values of a JSON answer as columns of their own."""

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..i18n import _

_step = re.compile(
    r"""\.(?P<name>[^\s.\[\]'"*]+) | \[(?P<index>-?\d+)\] | (?P<all>\[\*\]|\.\*)
      | \['(?P<single>[^']*)'\] | \["(?P<double>[^"]*)"\]""",
    re.VERBOSE,
)

_ALL = object()  # each item of an array, each value of an object


@dataclass(frozen=True, slots=True)
class Extraction:
    """A column `name` and the steps to its value: names, numbers, and all of them (``[*]``)."""

    name: str
    path: str
    steps: tuple[Any, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Extraction":
        """Parse ``NAME=$.path``. Raises `UsageError`."""
        name, equals, path = text.partition("=")
        name, path = name.strip(), path.strip()
        if not equals or not name or not path.startswith("$"):
            message = _("--extract {text}: expected NAME=$.path, such as city=$.address.city.")
            raise UsageError(message.format(text=text))
        steps: list[Any] = []
        position = 1
        while position < len(path):
            match = _step.match(path, position)
            if match is None:
                message = _("--extract {text}: {rest} is no step of a path (.name, [0], [*]).")
                raise UsageError(message.format(text=text, rest=path[position:]))
            position = match.end()
            if match["index"] is not None:
                steps.append(int(match["index"]))
            elif match["all"] is not None:
                steps.append(_ALL)
            else:
                names = (match["name"], match["single"], match["double"])
                steps.append(next(one for one in names if one is not None))
        return cls(name, path, tuple(steps))

    def of(self, text: Any) -> Any:
        """Return the value in a JSON text; None where there is none. With ``[*]``, a list."""
        if not isinstance(text, str):
            return None  # a vector or a score
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return _follow(value, self.steps)


def parse_extractions(texts: Iterable[str], taken: Container[str]) -> tuple[Extraction, ...]:
    """Return the columns that several ``--extract`` ask for. `taken` are the names of columns that
    an answer has anyway. Raises `UsageError`, also for a name that is one of those or comes twice.
    """
    columns: dict[str, Extraction] = {}
    for text in texts:
        column = Extraction.parse(text)
        name = column.name
        if name in taken:
            message = _(
                "--extract {name}: the answer has a column of that name itself; take another, such "
                "as {other}."
            )
            raise UsageError(message.format(name=name, other=f"answer_{name.lstrip('_')}"))
        if name in columns:
            message = _(
                "--extract {name}: two columns have that name; give one of them another, such as "
                "{other}."
            )
            raise UsageError(message.format(name=name, other=f"{name}_2"))
        columns[name] = column
    return tuple(columns.values())


def _follow(value: Any, steps: Sequence[Any]) -> Any:
    for at, step in enumerate(steps):
        if step is _ALL:
            items = list(value.values()) if isinstance(value, Mapping) else value
            if not isinstance(items, list):
                return None
            return [_follow(item, steps[at + 1 :]) for item in items]
        if isinstance(step, int) and isinstance(value, list):
            value = value[step] if -len(value) <= step < len(value) else None
        elif isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        else:
            return None
    return value
