"""`--from RESULTS`: check that another run's results can be the input of this one."""

from pathlib import Path

from ..errors import UsageError
from ..i18n import _
from .inputs.earlier_answers import EarlierAnswers
from .inputs.row_ids import stems_of_keys
from .inputs.samples import split_key
from .journal.lock import is_held
from .journal.manifest import TABLE_ENDINGS, load_manifest, manifest_of
from .journal.output_files import OutputFiles, resolve_link

DEFAULT_COLUMN = "answer"


def read_from(name: str, column: str | None, output: str | None) -> tuple[Path, EarlierAnswers]:
    """Return the results file of another run, and how its lines become rows.

    For a table that was written from results, those are taken. Raises `UsageError` for a file that
    is not there, is being written, or is this run's own output.
    """
    path = resolve_link(Path(name))
    if path.suffix in TABLE_ENDINGS and manifest_of(path) is not None:
        path = path.with_suffix(".jsonl")
    if not path.is_file():
        raise UsageError(_("--from: there is no file {path}.").format(path=path))
    if output not in (None, "-") and _results_of(str(output)).resolve() == path.resolve():
        raise UsageError(_("--from: {path} is the output of this run itself.").format(path=path))
    if is_held(OutputFiles.named(path).lock):
        text = _("--from: {path} is being written by a run; wait until it has ended.")
        raise UsageError(text.format(path=path))
    manifest = manifest_of(path)
    earlier = None if manifest is None else load_manifest(manifest)
    if earlier is not None and path.name == earlier.errors:
        text = _("--from: {path} is the errors file; name the results: {results}.")
        raise UsageError(text.format(path=path, results=earlier.results))
    column = column or DEFAULT_COLUMN
    if earlier is None:
        return path, EarlierAnswers(column)
    keeps_prompt = bool((earlier.columns or {}).get("keep_prompt"))
    keys = [split_key(key) for key in earlier.inputs]
    return path, EarlierAnswers(
        column,
        earlier.prefix,
        tuple(sample for _key, sample in keys),
        stems_of_keys([key for key, sample in keys if not sample]),
        earlier.prefix + "prompt" if keeps_prompt else None,
        path.name,
        _count_lines(path.with_name(earlier.errors)),
    )


def _count_lines(path: Path) -> int:
    """Return the number of lines of a file; 0 where there is none."""
    try:
        with path.open("rb") as file:
            return sum(1 for _line in file)
    except OSError:
        return 0


def _results_of(output: str) -> Path:
    path = Path(output)
    return path.with_suffix(".jsonl") if path.suffix in TABLE_ENDINGS else path
