"""`qchat config`: the settings, each with where it came from; a file to start from; its place."""

import os
from pathlib import Path

import click

from ..errors import QchatError, UsageError
from ..i18n import _
from ..settings import (
    KEYS,
    TUI_KEYS,
    Paths,
    ServerProfile,
    Settings,
    TuiSettings,
    load,
    private_dir,
)


@click.group(
    invoke_without_command=True,
    help=_(
        """Show the settings, each with where it came from.

        Lowest to highest: built-in defaults, config.toml, QCHAT_* variables, options of a
        command. QCHAT_HOME moves configuration, data, state and cache together.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat config
  qchat config init
  "$EDITOR" "$(qchat config path)"
  QCHAT_SERVER=lab qchat config
"""
    ),
)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Print the settings unless a subcommand is given."""
    if ctx.invoked_subcommand is None:
        _show(load())


@config.command(
    help=_("Print the path of the configuration file."),
    epilog=_('\b\nExample:\n  "$EDITOR" "$(qchat config path)"\n'),
)
def path() -> None:
    """Print the path, whether the file exists or not."""
    click.echo(str(Paths.find().config_file))


@config.command(
    help=_("Write a commented configuration file. An existing one is never overwritten."),
    epilog=_("\b\nExample:\n  qchat config init\n"),
)
def init() -> None:
    """Write the file with mode 0600. Raises `UsageError`."""
    file = Paths.find().config_file
    private_dir(file.parent)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(template())
    except FileExistsError as e:
        raise UsageError(_("{file} exists and was left as it is.").format(file=file)) from e
    except OSError as e:
        raise UsageError(
            _("Can't write {file}: {why}.").format(file=file, why=_(e.strerror))
        ) from e
    click.echo(_("Wrote {file}").format(file=file))


def template() -> str:
    """The commented file that `qchat config init` writes; it sets nothing."""
    examples = {
        "server": "lab",
        "model": "Qwen3-8B",
        "preset": "qwen3-thinking",
        "language": "zh_CN",
    }
    lines = [_("# qchat's settings. Remove a # to set a value; `qchat config` shows the result.")]
    for key in KEYS:
        about = _("{about} (or the variable {variable})").format(
            about=key.about, variable=key.variable
        )
        lines += ["", f"# {about}", f'# {key.name} = "{examples[key.name]}"']
    lines += ["", _("# The chat in the terminal."), "# [tui]"]
    for name, about in TUI_KEYS.items():
        lines += [f"# {name} = {_toml(getattr(TuiSettings(), name))}  # {about}"]
    lines += [
        "",
        _('# Keys of the chat, by the action\'s name; several by comma, none by "".'),
        "# [tui.keys]",
    ]
    lines += ['# new = "ctrl+n"']
    lines += [
        "",
        _("# A server, used by name: qchat ask --server lab. A key stands in a variable or in a"),
        _("# file that only you can read (chmod 600), never here. /v1 is added to an address"),
        _("# without a path."),
        "# [servers.lab]",
        '# base_url = "http://127.0.0.1:8000"',
        '# model = "Qwen3-8B"',
        '# api_key_env = "LAB_API_KEY"',
        _('# api_key_file = "lab.key"      # instead of api_key_env; beside this file'),
        "",
    ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _show(settings: Settings) -> None:
    from ..console import fitted_table

    file = settings.paths.config_file
    state = "" if file.exists() else _(" (missing; `qchat config init` writes one)")
    click.echo(_("Configuration file: {file}{state}").format(file=file, state=state))
    click.echo("")
    rows = [(_("SETTING"), _("VALUE"), _("FROM"))]
    rows += [(k.name, getattr(settings, k.name) or "-", settings.where(k.name)) for k in KEYS]
    rows += [
        (
            f"tui.{name}",
            _toml(getattr(settings.tui, name)).strip('"') or "-",
            settings.where(f"tui.{name}"),
        )
        for name in TUI_KEYS
    ]
    for name, keys in settings.tui.keys.items():
        key = f"tui.keys.{name}"
        rows.append((key, keys or "-", settings.where(key)))
    click.echo(fitted_table(rows, shrink=2))
    if settings.servers:
        servers = [(_("SERVER"), _("ADDRESS"), _("MODEL"), _("KEY"), _("FROM"))]
        servers += [_server_row(settings, server) for server in settings.servers.values()]
        click.echo("\n" + fitted_table(servers, shrink=2, drop=(4,)))
    click.echo("\n" + _in_use(settings))


def _server_row(settings: Settings, server: ServerProfile) -> tuple[str, str, str, str, str]:
    return (
        server.name,
        # A password has no place here; should one stand in the file, it is not shown.
        server.base_url.rpartition("@")[2],
        server.model or "-",
        _key_state(settings, server),
        settings.where(f"servers.{server.name}.base_url"),
    )


def _key_state(settings: Settings, server: ServerProfile) -> str:
    from ..api import endpoint as endpoints

    if server.api_key_env is not None:
        name = server.api_key_env
        if not settings.environ.get(name):
            return _("{name} is not set").format(name=endpoints.printable_variable(name))
        return _("**** in {name}").format(name=name)
    if server.api_key_file is not None:
        key_file: Path = server.api_key_file
        if not key_file.exists():
            return _("{file} does not exist").format(file=key_file)
        return _("**** in {file}").format(file=key_file)
    typed = _typed_key_file(settings, server)
    return "-" if typed is None else _("**** in {file}").format(file=typed)


def _typed_key_file(settings: Settings, server: ServerProfile) -> Path | None:
    """The file of the key that was typed for a server in the chat; None where there is none."""
    from ..api import endpoint as endpoints
    from ..api.stored_keys import key_file

    try:
        file = key_file(settings.paths, endpoints.normalise(server.base_url))
    except UsageError:
        return None
    return file if file.exists() else None


def _in_use(settings: Settings) -> str:
    from ..api import endpoint as endpoints

    try:
        endpoint = endpoints.resolve(settings)
    except QchatError as e:
        return _("Server in use: none. {why}").format(why=e)
    if endpoint is None:
        return _(
            "Server in use: {url}, else the only one that qchat serve runs on this machine "
            "(qchat batch uses a server only if one is configured or given)"
        ).format(url=endpoints.LOCAL_URL)
    text = _("Server in use: {url} (from {origin})").format(
        url=endpoint.base_url, origin=endpoint.origin
    )
    if endpoint.api_key is not None:
        text += _(", key {mask}").format(mask=endpoint.api_key)
    return text
