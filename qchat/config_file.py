"""Changes to config.toml by a program: a server's section, the server to use. All else stays."""

import re
from collections.abc import Mapping
from pathlib import Path

from .errors import UsageError
from .files import replace_file
from .i18n import _
from .settings import private_dir

_HEADER = re.compile(r"\s*\[")


def set_server(path: Path, name: str, values: Mapping[str, str], *, use: bool) -> None:
    """Write the section ``[servers.NAME]`` with these values in place of an earlier one; with
    `use`, also make it the server that is used without `--server`.

    The file is made with mode 0600 where it is missing. Raises `UsageError` where it can't be read
    or written, or where the result would not be what was meant (nothing is changed then).
    """
    text = with_server(path, name, values, use=use)
    private_dir(path.parent)
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        replace_file(path, text.encode(), mode)
    except OSError as error:
        message = _("Can't write {file}: {why}.").format(file=path, why=error.strerror)
        raise UsageError(message) from error


def with_server(path: Path, name: str, values: Mapping[str, str], *, use: bool) -> str:
    """Return what `set_server` would write. Raises `UsageError` where it could not."""
    import tomllib

    section = f"servers.{name if '.' not in name else _quoted(name)}"
    try:
        before = path.read_text("utf-8-sig") if path.exists() else ""
        expected = tomllib.loads(before)
        text = _with_section(before, section, values)
        if use:
            text = _with_value(text, "server", name)
        expected.setdefault("servers", {})[name] = dict(values)
        if use:
            expected["server"] = name
        if tomllib.loads(text) != expected:
            raise ValueError
    except OSError as error:
        message = _("Can't read {file}: {reason}.").format(file=path, reason=error.strerror)
        raise UsageError(message) from error
    except ValueError as error:
        message = _("{file} has a form that can't be edited here; add the section by hand:\n{text}")
        raise UsageError(
            message.format(file=path, text=_with_section("", section, values))
        ) from error
    return text


def _with_section(text: str, name: str, values: Mapping[str, str]) -> str:
    section = [f"[{name}]", *(f"{key} = {_quoted(value)}" for key, value in values.items())]
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if line.strip() == section[0]), None)
    if start is None:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, *section, ""])
    end = start + 1
    while end < len(lines) and not _HEADER.match(lines[end]):
        end += 1
    after = ["", *lines[end:]] if end < len(lines) else []
    return "\n".join([*lines[:start], *section, *after, ""])


def _with_value(text: str, key: str, value: str) -> str:
    """Set a key outside of all sections."""
    line = f"{key} = {_quoted(value)}"
    lines = text.splitlines()
    for n, other in enumerate(lines):
        if _HEADER.match(other):
            break
        if re.match(rf"\s*{key}\s*=", other):
            return "\n".join([*lines[:n], line, *lines[n + 1 :], ""])
    gap = [""] if lines and lines[0].strip() else []
    return "\n".join([line, *gap, *lines, ""])


def _quoted(value: str) -> str:
    """Return a TOML basic string, with escapes for all that can't be printed."""
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"
