"""`qchat doctor` on a person's own things: settings, folders, key files, proxy variables."""

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import QchatError, UsageError
from ...i18n import _
from ...settings import Paths, Settings, load
from .. import keys
from .finding import Finding, Findings, ok, problem, warning

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def loaded(environ: Mapping[str, str]) -> Settings | Finding:
    """The settings, or what is wrong with them."""
    try:
        return load(environ)
    except UsageError as error:
        return problem("config", str(error), edit(Paths.find(environ).config_file))


def edit(file: Path) -> str:
    """The command that opens `file`."""
    return f'"${{EDITOR:-vi}}" {_quoted(file)}'


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def settings(found: Settings | Finding, environ: Mapping[str, str]) -> Findings:
    """The file, its folders and keys, the variables."""
    if isinstance(found, Finding):
        yield found
        paths = Paths.find(environ)
    else:
        paths = found.paths
        yield _file(found)
        yield from _key_files(found)
    yield from _folders(paths)
    yield from _key_variable(environ)
    yield from _own_key_files(paths)
    yield _proxies(environ)


def _file(found: Settings) -> Finding:
    file = found.paths.config_file
    if not file.exists():
        return ok("config", _("There is no {file}: the defaults hold.").format(file=file))
    n = len(found.servers)
    text = _("{file} can be read; servers in it: {n}.")
    return ok("config", text.format(file=file, n=n), servers=n)


def _folders(paths: Paths) -> Findings:
    """Each of qchat's folders: its owner writes, others don't read."""
    folders = {"config": paths.config, "data": paths.data, "state": paths.state}
    folders |= {"cache": paths.cache}
    missing = []
    for name, folder in folders.items():
        try:
            held = folder.stat()
        except FileNotFoundError:
            missing.append(name)
            if not os.access(_nearest(folder), os.W_OK | os.X_OK):
                text = _("The {name} folder {folder} can't be made: {parent} is not yours.")
                yield problem(
                    "folders",
                    text.format(name=name, folder=folder, parent=_nearest(folder)),
                    _("Set QCHAT_HOME to a folder of your own."),
                )
            continue
        except OSError as error:
            text = _("Can't look at the {name} folder {folder}: {why}.")
            text = text.format(name=name, folder=folder, why=error.strerror)
            yield problem("folders", text, _("Set QCHAT_HOME to a folder of your own."))
            continue
        yield _folder(name, folder, held)
    if len(missing) == len(folders):
        yield ok("folders", _("qchat's folders are not there yet; they are made when needed."))


def _folder(name: str, folder: Path, held: os.stat_result) -> Finding:
    shown, mode = _quoted(folder), stat.S_IMODE(held.st_mode)
    private = f"chmod 700 {shown}"
    if not stat.S_ISDIR(held.st_mode):
        text, fix = _("The {name} folder {folder} is not a folder."), f"mv {shown} {shown}.old"
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        text, fix = _("The {name} folder {folder} can't be written to."), private
        if held.st_uid != os.getuid():
            fix = f'sudo chown -R "$(id -un)" {shown}'
    elif mode & 0o022:
        text, fix = _("Others can change what is in the {name} folder {folder}."), private
    elif mode & 0o077 and name in ("data", "state"):
        text = _("Others can look into the {name} folder {folder}.")
        return warning("folders", text.format(name=name, folder=folder), private)
    else:
        return ok("folders", _("The {name} folder is {folder}.").format(name=name, folder=folder))
    return problem("folders", text.format(name=name, folder=folder), fix)


def _nearest(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _key_files(found: Settings) -> Findings:
    for server in found.servers.values():
        if server.api_key_file is not None:
            yield key_file(server.api_key_file)


def _own_key_files(paths: Paths) -> Findings:
    """Those that `--generate-key` made."""
    files: Iterable[Path] = ()
    try:
        files = sorted((paths.config / "keys").glob("*.key"))
    except OSError:
        return
    for file in files:
        yield key_file(file, of_server=True)


def key_file(file: Path, *, of_server: bool = False) -> Finding:
    """Whether a file of a key is private. That of a server holds keys that are long enough, too."""
    try:
        mode = file.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            text = _("Others can read the keys in {file}.")
            return problem("key_file", text.format(file=file), f"chmod 600 {_quoted(file)}")
        if of_server:
            keys.read(file)
        elif not file.read_bytes().strip():
            text = _("The key file {file} is empty.")
            return problem("key_file", text.format(file=file), edit(file))
    except OSError as error:
        text = _("Can't read the key file {file}: {why}.")
        return problem("key_file", text.format(file=file, why=error.strerror), edit(file))
    except QchatError as error:
        return problem("key_file", str(error), edit(file))
    return ok("key_file", _("Only you can read the key in {file}.").format(file=file))


def _key_variable(environ: Mapping[str, str]) -> Findings:
    try:
        if keys.from_variable(environ) is not None:
            yield ok("key_variable", _("QCHAT_API_KEY holds a key for servers started here."))
    except UsageError as error:
        yield problem("key_variable", str(error), f"unset {keys.VARIABLE}")
    if environ.get("VLLM_API_KEY") is not None:
        text = _("VLLM_API_KEY is set; qchat serve goes by QCHAT_API_KEY and refuses to start.")
        yield problem("key_variable", text, "unset VLLM_API_KEY")


def _proxies(environ: Mapping[str, str]) -> Finding:
    """qchat never sends what is for this machine through a proxy; curl, and most clients, do."""
    said = [name for low in _PROXIES for name in (low, low.upper()) if environ.get(name)]
    if not said:
        return ok("proxy", _("No proxy variable is set."))
    names = ", ".join(said)
    excepted = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").split()
    if "*" in excepted or all(any(host == e.strip("[]") for e in excepted) for host in _LOCAL[:2]):
        text = _("{names} are set, and NO_PROXY leaves this machine out.")
        return ok("proxy", text.format(names=names))
    text = _(
        "{names} would catch what other programs send to this machine (qchat itself is not "
        "affected)."
    )
    hosts = ",".join(dict.fromkeys([*excepted, *_LOCAL]))
    return warning("proxy", text.format(names=names), f"export NO_PROXY={hosts} no_proxy={hosts}")
