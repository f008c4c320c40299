"""How this qchat was installed, and the commands that add to it or install it again.

The name `qchat` on PyPI belongs to another project, so no command here names a package for pip to
look up that is not a dependency: a source folder, a URL or the dependencies themselves are given.
"""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from . import lifeline
from .i18n import _

# Not importlib.util.find_spec: asked for pip, the import hook of setuptools turns itself off, and
# vLLM can't be imported in this process any more.
find_spec = PathFinder.find_spec

DISTRIBUTION = "qchat-vllm"
FORMER_DISTRIBUTION = "qchat"
"""Our name before 0.2.0, and that of another project on PyPI."""

_ORIGIN = "direct_url.json"  # written by installers that know where a package came from
_PLUGINS = "vllm.general_plugins"


@dataclass(frozen=True, slots=True)
class InstallSource:
    """Where the installed files came from: a source folder, a URL, or neither where pip did not
    record it (an index, a system package). `url` may be a ``file:`` URL of a wheel."""

    folder: Path | None = None
    url: str | None = None
    editable: bool = False


def own_distribution(path: Sequence[str] | None = None) -> Distribution | None:
    """This project's metadata in `path` (`sys.path`); None where it runs without being installed.

    A distribution under the former name is ours if it registers our plugin for vLLM.
    """
    named = [*_named(DISTRIBUTION, path), *_named(FORMER_DISTRIBUTION, path)]
    ours = [one for one in named if _is_ours(one)]
    # What setuptools writes beside the sources is no installation, and comes first in the path
    # where Python runs there.
    ours.sort(key=lambda one: one.read_text(_ORIGIN) is None)
    return ours[0] if ours else None


def other_distribution(path: Sequence[str] | None = None) -> Distribution | None:
    """Another project's distribution `qchat` in `path` (`sys.path`), which installs a package of
    the same import name; None where there is none."""
    named = _named(FORMER_DISTRIBUTION, path)
    return next((one for one in named if not _is_ours(one)), None)


def _named(name: str, path: Sequence[str] | None) -> list[Distribution]:
    named = distributions(name=name, path=list(sys.path if path is None else path))
    # An installation that was interrupted leaves a folder without metadata.
    return [one for one in named if one.read_text("METADATA") or one.read_text("PKG-INFO")]


def _is_ours(distribution: Distribution) -> bool:
    if _normalized(distribution.metadata["Name"]) == DISTRIBUTION:
        return True
    entries = distribution.entry_points.select(group=_PLUGINS, name=lifeline.PLUGIN)
    return bool(entries)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def install_source(path: Sequence[str] | None = None) -> InstallSource:
    """Where this installation came from, by the ``direct_url.json`` that pip and uv write (PEP
    610). Without one it is the folder of a source checkout, if this runs from one."""
    distribution = own_distribution(path)
    text = None if distribution is None else distribution.read_text(_ORIGIN)
    try:
        record = json.loads(text) if text else {}
        source = _source(record)
    except (ValueError, TypeError, AttributeError):
        source = InstallSource()
    if source.folder is None and source.url is None and distribution is None:
        return InstallSource(folder=_checkout(), editable=True)
    return source


def _source(record: dict[str, object]) -> InstallSource:
    url = record.get("url")
    if not isinstance(url, str):
        return InstallSource()
    parts = urlsplit(url)
    local = Path(url2pathname(parts.path)) if parts.scheme == "file" else None
    if local is not None and not local.exists():  # moved or deleted since
        return InstallSource()
    details = record.get("dir_info")
    if isinstance(details, dict):
        return InstallSource(folder=local, editable=details.get("editable") is True)
    vcs = record.get("vcs_info")
    if isinstance(vcs, dict):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return InstallSource(url=url)


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None


def install_hint(extra: str) -> str:
    """A shell command that adds `extra` (``web``, ``gpu``, …) to this installation; where there is
    none, an instruction."""
    source, distribution = install_source(), own_distribution()
    if extra == "cpu":
        return _cpu_hint(source)
    if source.folder is not None:
        target = [*(["-e"] if source.editable else []), f"{source.folder}[{extra}]"]
        return pip_command("install", *target)
    if source.url is not None and distribution is not None:
        name = _normalized(distribution.metadata["Name"])
        return pip_command("install", f"{name}[{extra}] @ {source.url}")
    requirements = [] if distribution is None else _requirements(distribution, extra)
    if requirements:
        return pip_command("install", *requirements)
    text = _("install qchat again from its source folder or wheel, with the extra {extra}")
    return text.format(extra=extra)


def _cpu_hint(source: InstallSource) -> str:
    # Not the extra cpu: pip's resolver adds a torchvision for CUDA, and vLLM breaks.
    if source.folder is not None and (source.folder / "Makefile").is_file():
        return f"make -C {shlex.quote(str(source.folder))} setup QCHAT_EXTRA=cpu"
    return _("the pip commands for the CPU build in qchat's README")


def _requirements(distribution: Distribution, extra: str) -> list[str]:
    requirements = []
    for line in distribution.requires or ():
        requirement, _semicolon, marker = line.partition(";")
        if re.search(rf"\bextra\s*==\s*[\"']{re.escape(extra)}[\"']", marker):
            requirements.append(requirement.strip())
    return requirements


def reinstall_hint() -> str:
    """A shell command that installs this qchat again, without its dependencies; where there is
    none, an instruction."""
    source = install_source()
    options = ("install", "--force-reinstall", "--no-deps")
    if source.folder is not None:
        return pip_command(*options, *(["-e"] if source.editable else []), str(source.folder))
    if source.url is not None:
        return pip_command(*options, source.url)
    return _("install qchat again from its source folder or wheel")


def pip_command(subcommand: str, *arguments: str) -> str:
    """A shell command that runs pip for this Python: ``pip`` where that is the one in PATH, else
    by the interpreter's path; uv's in an environment without pip."""
    command = [sys.executable, "-m", "pip", subcommand]
    if find_spec("pip") is None:
        command = ["uv", "pip", subcommand, "--python", sys.executable]
    elif (pip := shutil.which("pip")) and Path(pip).parent == Path(sys.executable).parent:
        command = ["pip", subcommand]
    if subcommand == "uninstall" and command[0] != "uv":  # uv does not ask
        command.append("-y")
    return shlex.join([*command, *arguments])
