"""The files of a run: their names, and which of them a run may write."""

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import UsageError
from ...files import sync_folder
from ...i18n import _
from ..inputs.discovery import InputFile
from ..inputs.formats.opening import Location
from ..inputs.formats.remote import RemoteFile
from .manifest import REVIEW_ENDING, TABLE_ENDINGS, Manifest, manifest_of


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The files of one run, side by side in one folder; `table` is written from the results."""

    results: Path
    errors: Path
    manifest: Path
    lock: Path
    damaged: Path
    removed: Path
    retry: Path
    table: Path | None = None

    @classmethod
    def named(cls, results: Path) -> "OutputFiles":
        """Return the files that belong to ``NAME.jsonl``."""
        stem = results.name.removesuffix(".jsonl")
        return cls(
            results,
            results.with_name(f"{stem}.errors.jsonl"),
            results.with_name(f"{stem}.manifest.json"),
            results.with_name(f"{stem}.lock"),
            results.with_name(f"{stem}.damaged.jsonl"),
            results.with_name(f"{stem}.removed.jsonl"),
            results.with_name(f"{stem}.retry.jsonl"),
        )

    @property
    def side(self) -> tuple[Path, ...]:
        """The files beside results and errors that only some runs write."""
        return (self.damaged, self.removed, self.retry, votes_file(self.results))

    @property
    def all(self) -> tuple[Path, ...]:
        """All files that a run may write, whether they are there or not."""
        table = () if self.table is None else (self.table,)
        return (
            *(self.results, self.errors, self.manifest, self.lock, *self.side, *table),
            review_file(self.results),
        )


def name_outputs(inputs: Sequence[InputFile], output: str | None) -> OutputFiles:
    """Return the files for these inputs and ``-o``. Raises `UsageError` if ``-o`` is needed."""
    if output is not None:
        table = Path(output)
        if table.suffix in TABLE_ENDINGS:
            return _with_table(inputs, table)
        if not output.endswith(".jsonl"):
            text = _(
                "-o {name}: give a name that ends in .jsonl, .csv, .tsv or .parquet, or - for "
                "standard output."
            )
            raise UsageError(text.format(name=output))
        return OutputFiles.named(resolve_link(Path(output)))
    if len(inputs) != 1 or str(inputs[0].path).startswith("/dev/fd/"):
        raise UsageError(_("Several inputs, or standard input, need -o NAME.jsonl."))
    path = inputs[0].path
    folder = Path() if isinstance(path, RemoteFile) else path.parent
    return OutputFiles.named(folder / f"{inputs[0].stem}.results.jsonl")


def files_of_run(path: Path) -> OutputFiles:
    """Return the files of the run with these results (or the table of them), or with this input."""
    path = resolve_link(path)
    if path.suffix in TABLE_ENDINGS and path.with_suffix(".manifest.json").exists():
        path = path.with_suffix(".jsonl")
    if manifest_of(path) is None and not path.with_suffix(".lock").exists():
        of_input = path.with_name(f"{path.stem}.results.jsonl")
        # A damaged manifest is that of these results all the same, unless the input has some.
        is_damaged = OutputFiles.named(path).manifest.exists()
        if not is_damaged or OutputFiles.named(of_input).manifest.exists():
            path = of_input
    return OutputFiles.named(path)


def _with_table(inputs: Sequence[InputFile], table: Path) -> OutputFiles:
    """Return the files of a run that ends in a table. Raises `UsageError` where the table or its
    journal would replace an input."""
    table = resolve_link(table)
    journal = resolve_link(table.with_suffix(".jsonl"))
    taken = {item.path.resolve() for item in inputs if isinstance(item.path, Path)}
    for path in (table, journal):
        if path.resolve() in taken:
            text = _("-o {name} would write {path}, which is an input; give another -o.")
            raise UsageError(text.format(name=table, path=path))
    return replace(OutputFiles.named(journal), table=table)


def output_mode(path: Location) -> int:
    """Return the mode of the output files: the input's own, as answers are as private."""
    if isinstance(path, RemoteFile):
        return 0o600
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0o600
    return stat.S_IMODE(mode) & 0o666 if stat.S_ISREG(mode) else 0o600


def votes_file(results: Path) -> Path:
    """Return the file of the votes that belongs to ``NAME.jsonl``."""
    return results.with_name(f"{results.name.removesuffix('.jsonl')}.votes.jsonl")


def review_file(results: Path) -> Path:
    """Return the file of the unsure rows that belongs to ``NAME.jsonl``, unless one is named."""
    return results.with_name(f"{results.name.removesuffix('.jsonl')}{REVIEW_ENDING}")


def resolve_link(path: Path) -> Path:
    """Return the file that a symbolic link stands for: it and the files beside it are written, and
    the link stays, wherever it points to meanwhile. Raises `UsageError`."""
    if not os.path.islink(path):  # noqa: PTH114 (of a name that is too long, too)
        return path
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # a loop of links, by Python's version
        target = path
    if target.is_symlink():
        text = _("{path} is a link that leads nowhere; give another -o.")
        raise UsageError(text.format(path=path))
    ending = path.suffix if path.suffix in TABLE_ENDINGS else ".jsonl"
    if not target.name.endswith(ending):
        text = _("{path} is a link to {target}, which does not end in {ending}; give another -o.")
        raise UsageError(text.format(path=path, target=target, ending=ending))
    return target


def refuse_own_output(inputs: Sequence[InputFile]) -> None:
    """Raise `UsageError` for an input that is the output of a run."""
    for item in inputs:
        manifest = None if isinstance(item.path, RemoteFile) else manifest_of(item.path)
        if manifest is not None:
            text = _(
                "{name} is the output of an earlier run ({manifest}); "
                "copy it to another name to use it as input."
            )
            raise UsageError(text.format(name=item.name, manifest=manifest.name))


def own_side_files(files: OutputFiles, manifest: Manifest) -> tuple[str, ...]:
    """Return the names of the side files that are there and that the manifest names, or may have
    written where it is of a version that recorded none."""
    review = review_file(files.results)
    named = [
        *(path for path in files.side if manifest.side_files is None or manifest.names(path)),
        *((review,) if manifest.names(review) else ()),
    ]
    return tuple(path.name for path in named if path.exists())


def refuse_foreign(files: OutputFiles, manifest: Manifest | None) -> None:
    """Raise `UsageError` for an existing output file that the manifest does not name."""
    names: set[str] = set()
    if manifest is not None:
        names |= {manifest.results, manifest.errors, *manifest.tables}
        names.update(own_side_files(files, manifest))
    for path in (files.results, files.errors, files.table, *files.side):
        if path is not None and path.exists() and path.name not in names:
            text = _(
                "{path} exists and is not an output of qchat (no manifest names it). "
                "Move it elsewhere, or give another -o."
            )
            raise UsageError(text.format(path=path))


def set_aside(files: OutputFiles, manifest: Manifest) -> list[Path]:
    """Rename the files of an earlier run, with the time in their names; return the new paths."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    moved: list[Path] = []
    review = review_file(files.results)
    for path in (
        *(files.results, files.errors, *files.side, files.table),
        *((review,) if manifest.names(review) else ()),
        files.manifest,
    ):
        if path is None or not path.exists():
            continue
        stem, dot, rest = path.name.partition(".") if path.name[0] != "." else (path.name, "", "")
        count, target = 1, path.with_name(f"{stem}.{stamp}{dot}{rest}")
        while target.exists():
            count += 1
            target = path.with_name(f"{stem}.{stamp}-{count}{dot}{rest}")
        path.rename(target)
        moved.append(target)
    sync_folder(files.results.parent)
    return moved


def check_folder(files: OutputFiles) -> None:
    """Raise `UsageError` when the output's folder is missing or not writable."""
    try:
        _check_folder(files)
    except OSError as error:  # a name that is too long, a loop of links, a lost mount
        text = _("{path} can't be written: {reason}; give another -o.")
        raise UsageError(text.format(path=files.results, reason=_(error.strerror))) from error


def _check_folder(files: OutputFiles) -> None:
    folder = files.results.parent
    if not folder.is_dir():
        text = _("There is no folder {folder} for the output; create it, or give another -o.")
        raise UsageError(text.format(folder=folder))
    writable = os.access(folder, os.W_OK | os.X_OK)
    for path in (files.results, files.errors, files.manifest, files.table or files.results):
        if path.is_dir():
            raise UsageError(_("{path} is a folder; give another -o.").format(path=path))
        writable = writable and (not path.exists() or os.access(path, os.W_OK))
    if not writable and os.statvfs(folder).f_flag & os.ST_RDONLY:
        text = _("The file system of {folder} is read-only; give another -o.")
        raise UsageError(text.format(folder=folder))
    if not writable:
        text = _("No permission to write {path}; give an -o in a folder that you can write.")
        raise UsageError(text.format(path=files.results))
