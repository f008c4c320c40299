"""`qchat recipes --update`: recipes from a folder, a checkout of vllm-project/recipes or a URL.

What is read is data of somebody else: it is checked field by field and never executed, and links
are not followed. No program is run on the folder either, not even git, which would obey its
configuration.
"""

import datetime
import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ... import files
from ...errors import UsageError
from ...i18n import _
from ...sanitize import one_line
from ...settings import Paths, private_dir
from ..models.download import DownloadError, download, is_loopback
from .catalog import MAX_BYTES, bundled_recipes, own_file
from .recipe_types import Recipe, RecipeError, parse_tables
from .vllm_project_recipes import NotTextError, convert

_MAX_FILE = 1 << 20  # bytes
_MAX_FILES = 3000
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RecipeUpdate:
    """What was written: the recipes, where, and what was left out (name and reason)."""

    file: Path
    recipes: tuple[Recipe, ...]
    skipped: tuple[str, ...] = ()

    @property
    def replaced(self) -> list[str]:
        """The names of the bundled recipes that it replaces."""
        bundled = {recipe.name.lower() for recipe in bundled_recipes()}
        return [recipe.name for recipe in self.recipes if recipe.name.lower() in bundled]


@dataclass(slots=True)
class _Tables:
    tables: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def update_recipes(source: str, paths: Paths, today: datetime.date) -> RecipeUpdate:
    """Read the recipes of `source` and write them to the data folder, in the place of those of an
    earlier update. Raises `UsageError` for a source that can't be read or is not valid; the earlier
    ones then stay."""
    try:
        content = _read(source)
        tables = [table for table in content.tables if str(table.get("name")).lower() != "demo"]
        value = {
            "origin": one_line(source)[:300],
            "updated": today.isoformat(),
            "recipe": tables,
        }
        recipes = parse_tables({"recipe": tables}, source)
        _refuse_twice(recipes)
        data = json.dumps(value, ensure_ascii=False, indent=1).encode()
        if not recipes:
            raise RecipeError(_("there is no recipe in it"))
        if len(data) > MAX_BYTES:
            raise RecipeError(_("it is too large"))
    except (RecipeError, OSError) as error:
        reason = one_line(_(getattr(error, "strerror", None)) or str(error))
        text = _("Can't take recipes from {source}: {reason}. Nothing was changed.")
        raise UsageError(text.format(source=source, reason=reason)) from error
    file = own_file(paths)
    private_dir(file.parent)
    try:
        files.replace_file(file, data)
    except OSError as error:
        text = _("Can't write {file}: {reason}.")
        raise UsageError(text.format(file=file, reason=_(error.strerror))) from error
    return RecipeUpdate(file, recipes, tuple(content.skipped))


def remove_update(paths: Paths) -> bool:
    """Remove the recipes of the last update, and say whether there were any. Raises
    `UsageError`."""
    file = own_file(paths)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        text = _("Can't remove {file}: {reason}.")
        raise UsageError(text.format(file=file, reason=_(error.strerror))) from error
    return True


def _read(source: str) -> _Tables:
    if "://" in source:
        return _own_form([(source, _download(source))])
    path = Path(source).expanduser()
    if path.is_dir():
        if (path / "models").is_dir():
            return _vllm_project(path)
        return _own_form([(name.name, _file(name)) for name in _entries(path, ".toml")])
    return _own_form([(path.name, _file(path.resolve()))])  # a link that the person names


def _download(url: str) -> bytes:
    local = is_loopback(url)
    if urlsplit(url).scheme != "https" and not local:
        raise RecipeError(_("only https addresses are read, and http on this machine"))
    try:
        return download(url, max_bytes=MAX_BYTES, seconds=_SECONDS, redirects=False)
    except DownloadError as error:
        raise RecipeError(str(error)) from error


def _own_form(contents: list[tuple[str, bytes]]) -> _Tables:
    """The tables of files in the form of the bundled ones; one that is not valid ends it."""
    result = _Tables()
    for name, data in contents:
        try:
            content = tomllib.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"{name}: {error}") from error
        common = {key: value for key, value in content.items() if key != "recipe"}
        try:
            parse_tables(content)
        except RecipeError as error:
            raise RecipeError(f"{name}: {error}") from error
        result.tables += [common | table for table in content["recipe"]]
    return result


def _vllm_project(folder: Path) -> _Tables:
    """The text models of a checkout of vllm-project/recipes; those that can't be used here are left
    out."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    result = _Tables()
    for owner in _entries(folder / "models"):
        for file in _entries(owner, ".yaml"):
            name = f"{owner.name}/{file.stem}"
            try:
                document = yaml.load(_file(file), Loader=loader)  # noqa: S506  (a safe one)
                table = convert(document, f"vllm-project/recipes {name}")
                parse_tables({"recipe": [table]})
            except NotTextError:
                continue
            except (RecipeError, yaml.YAMLError, ValueError, RecursionError) as error:
                reason = str(error).partition("\n")[0]
                result.skipped.append(one_line(f"{name}: {reason}")[:200])
            else:
                result.tables.append(table)
    return result


def _entries(folder: Path, ending: str | None = None) -> Iterator[Path]:
    """The files with this ending, or the folders, in a folder, by name; links are left out."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            count += 1
            if count > _MAX_FILES:
                raise RecipeError(_("{folder} has too many files").format(folder=folder))
            if ending is None:
                if entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
            elif entry.name.endswith(ending) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _file(path: Path) -> bytes:
    """The content of a regular file. Raises `RecipeError` for another one, or one too large."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RecipeError(_("{name} is no regular file").format(name=path.name))
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise RecipeError(_("{name} is too large").format(name=path.name))
    return data


def _refuse_twice(recipes: tuple[Recipe, ...]) -> None:
    names: set[str] = set()
    for recipe in recipes:
        if recipe.name.lower() in names:
            raise RecipeError(_("{name} is in it twice").format(name=recipe.name))
        names.add(recipe.name.lower())
