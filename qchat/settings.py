"""Settings, lowest to highest: defaults, config.toml, `QCHAT_*` variables, command-line options.

The last layer is the commands' own; this module reads the other three and says of each value
where it came from.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .errors import UsageError
from .i18n import LANGUAGES, VARIABLE, _, match_language
from .locations import CONFIG_NAME as CONFIG_NAME
from .locations import Paths as Paths
from .sampling import PRESETS, unknown_preset

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Key(NamedTuple):
    """A setting: its name in config.toml, its variable, and what it is for."""

    name: str
    variable: str
    about: str


KEYS: tuple[Key, ...] = (
    Key("server", "QCHAT_SERVER", _("the server to use, one of [servers.NAME]")),
    Key("model", "QCHAT_MODEL", _("the model to ask")),
    Key("preset", "QCHAT_PRESET", _("the sampling preset")),
    Key("language", VARIABLE, _("the language: en or zh_CN; without it, that of the locale")),
)
SERVER_KEYS: tuple[str, ...] = ("base_url", "api_key_env", "api_key_file", "model")
TUI_KEYS: Mapping[str, str] = {
    "enter": _('what Enter does while writing: "send" or "newline"'),
    "attach_kib": _("the largest file that @ attaches, in KiB"),
    "system_prompt": _("the system prompt of new conversations: prompts/NAME.md beside this file"),
    "theme": _('the colours: "auto" (as the terminal is), or a name that /theme lists'),
    "notify": _("whether a notification tells of an answer's end while you look elsewhere"),
    "titles": _("whether the model gives new conversations a title: true or false"),
}
THEME_NAMES: tuple[str, ...] = (
    *("dark", "light", "high-contrast", "no-color"),
    *("catppuccin-mocha", "catppuccin-latte", "gruvbox", "nord", "dracula", "tokyo-night"),
    *("solarized-dark", "solarized-light", "rose-pine", "rose-pine-dawn", "monokai"),
    *("atom-one-dark", "atom-one-light", "flexoki"),
)
"""The themes of the chat, in the order in which they are offered."""
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "enter": ("send", "newline"),
    "theme": ("auto", *THEME_NAMES),
}
_VARIABLES = ("QCHAT_HOME", *(key.variable for key in KEYS))


def private_dir(path: Path) -> Path:
    """`path`, made with its missing parents for the owner alone (0700). Raises `UsageError`."""
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(20, os.strerror(20))
    except OSError as e:
        raise UsageError(
            _("Can't make the folder {path}: {why}.").format(path=path, why=_(e.strerror))
        ) from e
    return path


class ServerProfile(NamedTuple):
    """A `[servers.NAME]` section as written; `qchat.api.endpoint.resolve` checks and uses it."""

    name: str
    base_url: str
    api_key_env: str | None = None
    api_key_file: Path | None = None
    model: str | None = None


class TuiSettings(NamedTuple):
    """The `[tui]` section; `TUI_KEYS` says what each is for.

    `keys` is `[tui.keys]` as written, the keys of an action by its name;
    `qchat.tui.actions.keymap` checks and uses it.
    """

    enter: str = "send"
    attach_kib: int = 256
    theme: str = "auto"
    titles: bool = True
    notify: bool = True
    keys: Mapping[str, str] = MappingProxyType({})
    system_prompt: str = ""


class Settings(NamedTuple):
    """What the configuration and the environment say; None means "not set"."""

    paths: Paths
    server: str | None = None
    model: str | None = None
    preset: str | None = None
    language: str | None = None
    servers: Mapping[str, ServerProfile] = MappingProxyType({})
    tui: TuiSettings = TuiSettings()
    origins: Mapping[str, str] = MappingProxyType({})
    environ: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        """Without the environment, which may hold keys."""
        return f"Settings(paths={self.paths!r}, server={self.server!r}, model={self.model!r})"

    def where(self, key: str) -> str:
        """Where a value came from: ``default``, ``FILE:LINE`` or the variable's name.

        `key` is ``server``, ``model``, ``preset``, ``language``, ``tui.KEY``, ``tui.keys.ACTION``
        or ``servers.NAME.KEY``.
        """
        return self.origins.get(key, _("default"))

    def from_environment(self, key: str) -> bool:
        """Whether a variable sets it (it then takes precedence over a server's section)."""
        return any(k.name == key and self.where(key) == k.variable for k in KEYS)


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read config.toml and the environment. Raises `UsageError` naming key, file and line."""
    paths = Paths.find(environ)
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    servers: dict[str, ServerProfile] = {}
    tui = TuiSettings()
    file = _ConfigFile.read(paths.config_file)
    if file is not None:
        values, servers = _from_file(file)
        tui = _tui(file)
        origins = {".".join(path): file.place(*path) for path in file.paths()}
    _refuse_mistyped_variables(environ)
    for key in KEYS:
        value = environ.get(key.variable)
        if value:
            values[key.name], origins[key.name] = value, key.variable
    preset = values.get("preset")
    if preset is not None and preset not in PRESETS:
        text = _("{place}: {message}")
        raise UsageError(text.format(place=origins["preset"], message=unknown_preset(preset)))
    if (language := values.get("language")) is not None and match_language(language) is None:
        text = _("{where}: the language must be {names}, not {name!r}.")
        names = _(" or ").join(LANGUAGES)
        raise UsageError(text.format(where=origins["language"], names=names, name=language))
    return Settings(paths, servers=servers, tui=tui, origins=origins, environ=environ, **values)


def _refuse_mistyped_variables(environ: Mapping[str, str]) -> None:
    # Others may well keep a key in QCHAT_LAB_KEY: only what is nearly a known name is refused.
    for name in environ:
        if name.startswith("QCHAT_") and name not in _VARIABLES:
            import difflib

            near = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0.9)
            if near:
                raise UsageError(
                    _("The variable {name} is unknown; did you mean {near}?").format(
                        name=name, near=near[0]
                    )
                )


def _from_file(file: "_ConfigFile") -> tuple[dict[str, str], dict[str, ServerProfile]]:
    names = tuple(key.name for key in KEYS)
    file.check_keys((), (*names, "servers", "tui"))
    values = {name: file.text(name) for name in names if name in file.table}
    sections = file.table.get("servers", {})
    if not isinstance(sections, dict):
        raise file.error(("servers",), _("servers must be sections such as [servers.lab]"))
    return values, {name: _server(file, name) for name in sections}


def with_servers_of(settings: Settings, path: Path, raw: bytes) -> Settings:
    """Return the settings with the servers of a file of `[servers.NAME]` sections, of which `raw`
    is the content, in place of the configured ones. Raises `UsageError`."""
    file = _ConfigFile.parse(path, raw)
    file.check_keys((), ("servers",))
    sections = file.table.get("servers", {})
    if not isinstance(sections, dict) or not sections:
        raise file.error(("servers",), _("servers must be sections such as [servers.lab]"))
    servers = {name: _server(file, name) for name in sections}
    places = {
        f"servers.{name}.{key}": file.place("servers", name, key)
        for name in servers
        for key in sections[name]
    }
    return settings._replace(servers=servers, origins={**settings.origins, **places})


def _tui(file: "_ConfigFile") -> TuiSettings:
    section = file.table.get("tui", {})
    if not isinstance(section, dict):
        raise file.error(("tui",), _("tui must be a section: [tui]"))
    if section:
        file.check_keys(("tui",), (*TUI_KEYS, "keys"))
    values = {
        key: file.like(getattr(TuiSettings(), key), "tui", key) for key in section if key != "keys"
    }
    return TuiSettings(**values, keys=_tui_keys(file, section.get("keys", {})))


def _tui_keys(file: "_ConfigFile", section: object) -> dict[str, str]:
    at = ("tui", "keys")
    if not isinstance(section, dict):
        raise file.error(at, _("keys must be a section: [tui.keys]"))
    return {name: file.text(*at, name, empty=True) for name in section}


def _server(file: "_ConfigFile", name: str) -> ServerProfile:
    at = ("servers", name)
    if not isinstance(file.table["servers"][name], dict):
        raise file.error(at, _("a server is a section such as [servers.lab]"))
    if not _NAME.fullmatch(name):
        raise file.error(
            at, _("the server name {name!r} may have letters, digits, - _ .").format(name=name)
        )
    file.check_keys(at, SERVER_KEYS)
    values = {key: file.text(*at, key) for key in file.table["servers"][name]}
    if "base_url" not in values:
        raise file.error(at, _("the server {name} has no base_url").format(name=name))
    if "api_key_env" in values and "api_key_file" in values:
        raise file.error(at, _("give api_key_env or api_key_file, not both"))
    key_file = values.get("api_key_file")
    return ServerProfile(
        name,
        values["base_url"],
        values.get("api_key_env"),
        # A relative name stands beside the file that says it.
        None if key_file is None else file.path.parent / Path(key_file).expanduser(),
        values.get("model"),
    )


class _ConfigFile(NamedTuple):
    path: Path
    table: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]

    @classmethod
    def read(cls, path: Path) -> "_ConfigFile | None":
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            why = _(e.strerror) or str(e)
            raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=why)) from e
        return cls.parse(path, raw)

    @classmethod
    def parse(cls, path: Path, raw: bytes) -> "_ConfigFile":
        import tomllib  # not before it is needed: it takes longer than reading the file

        try:
            text = raw.decode("utf-8-sig")
            table = tomllib.loads(text)
        except UnicodeDecodeError as e:
            line = raw[: e.start].count(b"\n") + 1
            raise UsageError(
                _("{file}:{line}: this is not UTF-8 text.").format(file=path, line=line)
            ) from e
        except tomllib.TOMLDecodeError as e:
            raise UsageError(_("{file}: not valid TOML: {why}.").format(file=path, why=e)) from e
        return cls(path, table, dict(_key_lines(text)))

    def place(self, *path: str) -> str:
        """``FILE:LINE`` of a key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return f"{self.path}:{line}"
        return str(self.path)

    def error(self, path: tuple[str, ...], message: str) -> UsageError:
        text = _("{where}: {message}.")
        return UsageError(text.format(where=self.place(*path), message=message))

    def paths(self) -> Iterator[tuple[str, ...]]:
        for key, value in self.table.items():
            if key == "servers":
                yield from ((key, name, k) for name, section in value.items() for k in section)
            elif key == "tui":
                yield from ((key, name) for name in value if name != "keys")
                yield from ((key, "keys", name) for name in value.get("keys", {}))
            else:
                yield (key,)

    def text(self, *path: str, empty: bool = False) -> str:
        value: Any = self.table
        for part in path:
            value = value[part]
        if not isinstance(value, str):
            raise self.error(
                path, _('{key} must be text in quotes, such as "…"').format(key=path[-1])
            )
        if not empty and not value.strip():
            raise self.error(path, _("{key} is empty").format(key=path[-1]))
        return value

    def like(self, default: str | int, *path: str) -> Any:
        """A value of the same kind as `default`; whole numbers are at least 1."""
        value: Any = self.table
        for part in path:
            value = value[part]
        key = path[-1]
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise self.error(path, _("{key} must be true or false").format(key=key))
        elif isinstance(default, str):
            choices = _CHOICES.get(key)
            if choices is None:
                return self.text(*path, empty=True)
            if value not in choices:
                names = _(" or ").join(f'"{name}"' for name in choices)
                raise self.error(path, _("{key} must be {names}").format(key=key, names=names))
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(path, _("{key} must be a whole number above 0").format(key=key))
        return value

    def check_keys(self, at: tuple[str, ...], allowed: tuple[str, ...]) -> None:
        table: Any = self.table
        for part in at:
            table = table[part]
        for key in table:
            if key in allowed:
                continue
            if key == "api_key":
                hint = _("a key never stands here; use api_key_env or api_key_file")
                raise self.error((*at, key), hint)
            import difflib

            near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
            text = _("unknown key {key!r}").format(key=key)
            if near:
                text += _(", did you mean {near!r}?").format(near=near[0])
                where = self.place(*at, key)
                raise UsageError(_("{place}: {message}").format(place=where, message=text))
            text += _("; keys here are {names}").format(names=", ".join(allowed))
            raise self.error((*at, key), text)


def _key_lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line of each table header and key (tomllib does not tell). Later ones win nothing."""
    import tomllib

    reported: set[tuple[str, ...]] = set()
    table: tuple[str, ...] = ()
    in_string = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not in_string and stripped and not stripped.startswith("#"):
            header = stripped.startswith("[")
            sample = stripped if header else f"{stripped.partition('=')[0]}= 0"
            try:
                path = _only_path(tomllib.loads(sample))
            except tomllib.TOMLDecodeError:
                path = ()  # inside a list or an odd quoted key: its table's line stands for it
            if header and path:
                table = path
            elif path:
                path = (*table, *path)
            if path and path not in reported:
                reported.add(path)
                yield path, number
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2 and in_string in ("", quotes):
                in_string = "" if in_string else quotes


def _only_path(nested: Any) -> tuple[str, ...]:
    path: list[str] = []
    while isinstance(nested, dict) and len(nested) == 1:
        key, nested = next(iter(nested.items()))
        path.append(key)
    return tuple(path)
