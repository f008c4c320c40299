"""How the files of an earlier run are read, and what came of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...errors import UsageError
from ...i18n import _, plural
from ..inputs.rows import Row


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was repaired: torn bytes, damaged lines, also those of answers that were to replace
    others (`damaged_retries`), and what an edited input changed.

    `moved` answers have a row at another place, `rewritten` ones a row of which what they repeat
    has changed. `removed` ones have no row any more; in the place of `edited` of them stands
    another row. `left_out` ones belong to inputs that are not in this run, `more_samples` to this
    run's rows, of which it wants fewer answers.
    `copied` were taken over from another file or from equal rows.
    `blocked` ones have a row that would be asked again, as the command line is another: then
    nothing but torn bytes was repaired.
    """

    torn: int = 0
    damaged: int = 0
    damaged_retries: int = 0
    moved: int = 0
    rewritten: int = 0
    removed: int = 0
    edited: int = 0
    left_out: int = 0
    more_samples: int = 0
    copied: int = 0
    blocked: int = 0
    first_blocked: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ReloadOptions:
    """How to read the files of an earlier run.

    `prefix` is that of its answer columns; `limited` says that there may be rows that were not
    scanned (`--limit`), which `read_beyond` reads, if it is given; `retry_failed` also reopens rows
    that failed for good, `retry_invalid` those whose answers did not have their form;
    `new_settings` says that the command line's parameters are others than before; `accept_changes`
    reopens the rows that are therefore other requests.
    """

    prefix: str = ""
    limited: bool = False
    read_beyond: Callable[[], Iterator[Row]] | None = None
    retry_failed: bool = False
    retry_invalid: bool = False
    new_settings: bool = False
    accept_changes: bool = False


def refuse_changes(repairs: Repairs, differences: Sequence[str]) -> None:
    """Raise `UsageError` when other parameters would ask done rows again."""
    if not repairs.blocked:
        return
    cause = _(" ({differences})").format(differences="; ".join(differences)) if differences else ""
    name, line = repairs.first_blocked or ("", 0)
    text = plural(
        "With these parameters{cause}, {n} row that is answered already would be asked again: "
        "{file} line {line}. ",
        "With these parameters{cause}, {n} rows that are answered already would be asked again, "
        "the first of them {file} line {line}. ",
        repairs.blocked,
    ) + _(
        "Undo the change, or give --accept-changes to ask them again, or --restart to ask all rows "
        "again (the old answers are kept in either case)."
    )
    raise UsageError(text.format(n=repairs.blocked, cause=cause, file=name, line=line))
