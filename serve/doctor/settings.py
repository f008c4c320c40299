"""Checks of the user's settings, folders, key files and environment variables."""

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import QchatError, UsageError
from ...i18n import N_, _
from ...settings import Paths, Settings, load
from ..access import keys
from .finding import Finding, Findings, ok, problem, warning

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def load_settings(environ: Mapping[str, str]) -> Settings | Finding:
    """The settings, or the finding that they are invalid."""
    try:
        return load(environ)
    except UsageError as error:
        return problem("config", str(error), edit_command(Paths.find(environ).config_file))


def edit_command(file: Path) -> str:
    """The shell command that opens `file` in an editor."""
    return f'"${{EDITOR:-vi}}" {_quoted(file)}'


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def check_settings(settings: Settings | Finding, environ: Mapping[str, str]) -> Findings:
    """Check the file, qchat's folders, the key files and the variables."""
    if isinstance(settings, Finding):
        yield settings
        paths = Paths.find(environ)
    else:
        paths = settings.paths
        yield _config_file(settings)
        yield from _key_files(settings)
    yield from _folders(paths)
    yield from _key_variable(environ)
    yield from _server_key_files(paths)
    yield _proxies(environ)


def _config_file(settings: Settings) -> Finding:
    file = settings.paths.config_file
    if not file.exists():
        return ok("config", _("There is no {file}: the defaults apply.").format(file=file))
    n = len(settings.servers)
    text = _("{file} is valid; servers in it: {n}.")
    return ok("config", text.format(file=file, n=n), servers=n)


def _folders(paths: Paths) -> Findings:
    """Check that each of qchat's folders is writable and private."""
    folders = {N_("config"): paths.config, N_("data"): paths.data, N_("state"): paths.state}
    folders |= {N_("cache"): paths.cache}
    missing = []
    for name, folder in folders.items():
        try:
            status = folder.stat()
        except FileNotFoundError:
            missing.append(name)
            if not os.access(_nearest_existing(folder), os.W_OK | os.X_OK):
                text = _("The {name} folder {folder} can't be created: {parent} is not writable.")
                yield problem(
                    "folders",
                    text.format(name=_(name), folder=folder, parent=_nearest_existing(folder)),
                    _("Set QCHAT_HOME to a folder of your own."),
                )
            continue
        except OSError as error:
            text = _("Can't read the {name} folder {folder}: {why}.")
            text = text.format(name=_(name), folder=folder, why=_(error.strerror))
            yield problem("folders", text, _("Set QCHAT_HOME to a folder of your own."))
            continue
        yield _folder(name, folder, status)
    if len(missing) == len(folders):
        yield ok("folders", _("qchat's folders do not exist yet; they are created when needed."))


def _folder(name: str, folder: Path, status: os.stat_result) -> Finding:
    quoted, mode = _quoted(folder), stat.S_IMODE(status.st_mode)
    private = f"chmod 700 {quoted}"
    if not stat.S_ISDIR(status.st_mode):
        text, fix = _("The {name} folder {folder} is not a folder."), f"mv {quoted} {quoted}.old"
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        text, fix = _("The {name} folder {folder} is not writable."), private
        if status.st_uid != os.getuid():
            fix = f'sudo chown -R "$(id -un)" {quoted}'
    elif mode & 0o022:
        text, fix = _("Other users can change files in the {name} folder {folder}."), private
    elif mode & 0o077 and name in ("data", "state"):
        text = _("Other users can read the {name} folder {folder}.")
        return warning("folders", text.format(name=_(name), folder=folder), private)
    else:
        return ok(
            "folders", _("The {name} folder is {folder}.").format(name=_(name), folder=folder)
        )
    return problem("folders", text.format(name=_(name), folder=folder), fix)


def _nearest_existing(path: Path) -> Path:
    """`path`, or its nearest parent that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _key_files(settings: Settings) -> Findings:
    for server in settings.servers.values():
        if server.api_key_file is not None:
            yield check_key_file(server.api_key_file)


def _server_key_files(paths: Paths) -> Findings:
    """Check the key files that `qchat serve --generate-key` wrote."""
    files: Iterable[Path] = ()
    try:
        files = sorted((paths.config / "keys").glob("*.key"))
    except OSError:
        return
    for file in files:
        yield check_key_file(file, of_server=True)


def check_key_file(file: Path, *, of_server: bool = False) -> Finding:
    """Check that a key file is private and, `of_server`, that its keys are long enough."""
    try:
        mode = file.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            text = _("Other users can read the keys in {file}.")
            return problem("key_file", text.format(file=file), f"chmod 600 {_quoted(file)}")
        if of_server:
            keys.read(file)
        elif not file.read_bytes().strip():
            text = _("The key file {file} is empty.")
            return problem("key_file", text.format(file=file), edit_command(file))
    except OSError as error:
        text = _("Can't read the key file {file}: {why}.")
        return problem(
            "key_file", text.format(file=file, why=_(error.strerror)), edit_command(file)
        )
    except QchatError as error:
        return problem("key_file", str(error), edit_command(file))
    return ok("key_file", _("Only you can read the key in {file}.").format(file=file))


def _key_variable(environ: Mapping[str, str]) -> Findings:
    try:
        if keys.from_variable(environ) is not None:
            yield ok(
                "key_variable",
                _("QCHAT_API_KEY is set: servers that are started require this key."),
            )
    except UsageError as error:
        yield problem("key_variable", str(error), f"unset {keys.VARIABLE}")
    if environ.get("VLLM_API_KEY") is not None:
        text = _("VLLM_API_KEY is set; qchat serve uses QCHAT_API_KEY and refuses to start.")
        yield problem("key_variable", text, "unset VLLM_API_KEY")


def _proxies(environ: Mapping[str, str]) -> Finding:
    """Check that local requests bypass the proxy: qchat's always do, those of curl and most other
    clients only with NO_PROXY."""
    set_variables = [
        name for low in _PROXY_VARIABLES for name in (low, low.upper()) if environ.get(name)
    ]
    if not set_variables:
        return ok("proxy", _("No proxy variable is set."))
    names = ", ".join(set_variables)
    exceptions = (
        (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").split()
    )
    if "*" in exceptions or all(
        any(host == e.strip("[]") for e in exceptions) for host in _LOCAL_HOSTS[:2]
    ):
        text = _("{names} are set, and NO_PROXY excludes this machine.")
        return ok("proxy", text.format(names=names))
    text = _(
        "{names} also apply to requests of other programs to this machine (qchat itself is not "
        "affected)."
    )
    hosts = ",".join(dict.fromkeys([*exceptions, *_LOCAL_HOSTS]))
    return warning("proxy", text.format(names=names), f"export NO_PROXY={hosts} no_proxy={hosts}")
