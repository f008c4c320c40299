"""Changes to config.toml by a program: a server's section, the server to use. All else stays."""

import json
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
    import tomllib

    private_dir(path.parent)
    try:
        before = path.read_text("utf-8-sig") if path.exists() else ""
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        expected = tomllib.loads(before)
        text = _with_section(before, f"servers.{name}", values)
        if use:
            text = _with_value(text, "server", name)
        expected.setdefault("servers", {})[name] = dict(values)
        if use:
            expected["server"] = name
        if tomllib.loads(text) != expected:
            raise ValueError
        replace_file(path, text.encode(), mode)
    except OSError as error:
        message = _("Can't write {file}: {why}.").format(file=path, why=error.strerror)
        raise UsageError(message) from error
    except ValueError as error:
        message = _("{file} has a form that can't be edited here; add the section by hand:\n{text}")
        section = _with_section("", f"servers.{name}", values)
        raise UsageError(message.format(file=path, text=section)) from error


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
    # A JSON string of printable text is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)
