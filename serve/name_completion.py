"""Names of servers for the completion of a shell, from the files that servers leave."""

from pathlib import Path

import click

from ..settings import Paths


def servers(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The servers that `qchat status` lists."""
    folder = Paths.find().state / "servers"
    return _stems(folder, incomplete, "json", "lock")


def startable(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The servers whose plan was kept, for `qchat restart`."""
    return _stems(Paths.find().state / "servers", incomplete, "plan")


def logged(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The servers that have a log, running or not."""
    return _stems(Paths.find().state / "logs" / "serve", incomplete, "log")


def _stems(folder: Path, beginning: str, *suffixes: str) -> list[str]:
    paths = [path for suffix in suffixes for path in folder.glob(f"[!.]*.{suffix}")]
    return sorted({path.stem for path in paths if path.stem.startswith(beginning)})
