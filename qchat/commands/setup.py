"""`qchat setup`: find or name a server, test it, and keep it as a profile."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ..errors import Code, EngineError, UsageError
from ..i18n import _, sentence_gap
from ..sanitize import one_line

if TYPE_CHECKING:
    from ..api.endpoint import Endpoint, Secret
    from ..settings import ServerProfile, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.command(
    help=_(
        """Set up a server to talk to: address, key and model.

        Looks for servers on this machine and in OPENAI_BASE_URL, asks for an address and a key,
        tests them, and writes a profile to config.toml. A key that is typed is kept in a file that
        only you can read. With --base-url and --yes nothing is asked.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat setup
  qchat setup --base-url http://gpu1:8000
  qchat setup --base-url https://api.example.com/v1 --api-key-env EXAMPLE_KEY
  pass show lab | qchat setup --base-url http://lab:8000 --api-key-stdin --yes
"""
    ),
)
@click.option("--base-url", metavar="URL", help=_("Base URL of the server."))
@click.option(
    "--api-key-env", metavar="VAR", help=_("Environment variable that contains the API key.")
)
@click.option("--api-key-stdin", is_flag=True, help=_("Read the key from standard input."))
@click.option("-m", "--model", metavar="NAME", help=_("Name of the model."))
@click.option("--name", metavar="NAME", help=_("Name of the profile.  [default: the host]"))
@click.option("-y", "--yes", is_flag=True, help=_("Ask nothing; take the defaults."))
def setup(
    base_url: str | None,
    api_key_env: str | None,
    api_key_stdin: bool,
    model: str | None,
    name: str | None,
    yes: bool,
) -> None:
    """Find, test and write. Raises `QchatError`; nothing is written then."""
    from .. import settings as settings_
    from ..api import endpoint as endpoints

    asks = not yes and not api_key_stdin and sys.stdin.isatty()
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(_("--name {name}: use letters, digits, - _ .").format(name=name))
    if api_key_env is not None and api_key_stdin:
        raise UsageError(_("Give --api-key-env or --api-key-stdin, not both."))
    settings = settings_.load()
    with _cancelling_said():
        endpoint = None
        if base_url is None:
            base_url = _choose_address(settings, asks)
            endpoint = endpoints.environment_endpoint(settings, api_key_env)  # with OPENAI_API_KEY
        if endpoint is None or endpoint.base_url != base_url:
            endpoint = endpoints.resolve(settings, base_url=base_url, api_key_env=api_key_env)
        assert endpoint is not None
        own = None if api_key_stdin or endpoint.api_key is not None else _own_server(endpoint)
        if own is not None:
            with_own = endpoints.resolve(
                settings._replace(servers={own.name: own}), server=own.name
            )
            endpoint = replace(endpoint, api_key=with_own.api_key if with_own else None)
        typed: Secret | None = None
        if api_key_stdin:
            typed = endpoints.checked_key(sys.stdin.readline(), _("the standard input"))
            endpoint = replace(endpoint, api_key=typed)
        endpoint, models, asked = _test(endpoint, asks, from_stdin=api_key_stdin)
        typed = asked or typed
        model = _choose_model(models, model, asks)
        name = name or _profile_name(endpoint, settings, asks)
    _write(settings, endpoint, name, model, api_key_env, typed, own)


@contextlib.contextmanager
def _cancelling_said() -> Iterator[None]:
    """Say after Ctrl-C, whose line has no end, that it had no effect."""
    try:
        yield
    except (click.Abort, KeyboardInterrupt):
        click.echo("\n" + _("Cancelled; nothing was written."), err=True)
        raise


def _own_server(endpoint: "Endpoint") -> "ServerProfile | None":
    """Return the server with a key that `qchat serve` runs at this address; None for others."""
    from ..api.endpoint import normalise
    from ..api.local_servers import running_profiles

    if not endpoint.is_local:
        return None
    return next(
        (
            profile
            for profile in running_profiles()
            if (profile.api_key_env or profile.api_key_file)
            and normalise(profile.base_url, _("Address")) == endpoint.base_url
        ),
        None,
    )


def _choose_address(settings: "Settings", asks: bool) -> str:
    from ..api.discovery import find_servers

    click.echo(_("Looking for servers on this machine ..."), err=True)
    servers = list(find_servers(settings))
    for number, (server, program) in enumerate(servers, 1):
        click.echo(f"  {number}  {server.base_url}  {program}", err=True)
    if not servers:
        click.echo(_nothing_here(), err=True)
    if not asks:
        if not servers:
            raise UsageError(_("No server was found; give --base-url."))
        return servers[0][0].base_url
    default = "1" if servers else None
    text = _("Number or address") if servers else _("Address of a server (Ctrl-C ends)")
    while True:
        answer = str(click.prompt(text, default=default, err=True)).strip()
        if answer.isdecimal():
            if 1 <= int(answer) <= len(servers):
                return servers[int(answer) - 1][0].base_url
            click.echo(_("There is no number {n} in the list.").format(n=answer), err=True)
            continue
        from ..api.endpoint import normalise

        try:
            return normalise(answer if "://" in answer else f"http://{answer}", _("Address"))
        except UsageError as error:
            click.echo(str(error), err=True)


def _nothing_here() -> str:
    from ..installation import find_spec, install_hint

    if find_spec("vllm") is not None:
        hint = _(
            "None runs. In another terminal, `qchat serve` starts one with a model that fits this "
            "machine, `qchat serve demo` one with the bundled model."
        )
    else:
        hint = _(
            "None runs, and vLLM is not installed here. To serve models on this machine: "
            "{command}. Otherwise type the address of a server elsewhere."
        ).format(command=install_hint("gpu"))
    return hint


def _test(
    endpoint: "Endpoint", asks: bool, *, from_stdin: bool
) -> "tuple[Endpoint, Sequence[str], Secret | None]":
    """Request the list of models; ask for a key where the server wants one, three times at most."""
    from ..api.client import Client, ServerError

    typed: Secret | None = None
    for attempt in range(4):
        try:
            with Client(endpoint) as client:
                models = [str(model["id"]) for model in client.models()]
            break
        except ServerError as error:
            if from_stdin and error.failure.code is Code.UNAUTHORIZED and error.advice:
                text = _("Give the right key on the standard input.")
                raise EngineError(error.what + sentence_gap() + text) from error
            if error.failure.code is not Code.UNAUTHORIZED or not asks or attempt == 3:
                raise
            if endpoint.api_key is None:
                text = _("{url} needs a key.")
            else:
                text = _("{url} refused this key.")
            click.echo(text.format(url=endpoint.base_url), err=True)
            typed = _ask_key()
            endpoint = replace(endpoint, api_key=typed)
    if not models:
        raise EngineError(_("{url} offers no models.").format(url=endpoint.base_url))
    click.echo(
        _("{url} answers and offers {models}.").format(
            url=endpoint.base_url, models=_shortened(models)
        ),
        err=True,
    )
    return endpoint, models, typed


def _ask_key() -> "Secret":
    from ..api.endpoint import checked_key

    while True:
        text = str(click.prompt(_("Key (not shown)"), hide_input=True, err=True))
        try:
            return checked_key(text, _("this field"))
        except UsageError as error:
            click.echo(str(error), err=True)


def _shortened(models: Sequence[str]) -> str:
    shown = ", ".join(map(one_line, models[:6]))
    rest = len(models) - 6
    return shown if rest <= 0 else _("{names} and {n} more").format(names=shown, n=rest)


def _choose_model(models: Sequence[str], model: str | None, asks: bool) -> str | None:
    """The model to write into the profile; None where the server's only one is used anyway."""
    if model is not None:
        if model not in models:
            import difflib

            near = difflib.get_close_matches(model, models, n=1)
            hint = _(" Did you mean {near}?").format(near=one_line(near[0])) if near else ""
            text = _("The server has no model {model}.").format(model=one_line(model))
            raise UsageError(text + hint)
        return model
    if len(models) == 1:
        return None
    if not asks:
        raise UsageError(
            _("The server offers several models; choose one with --model: {models}.").format(
                models=_shortened(models)
            )
        )
    for number, one in enumerate(models, 1):
        click.echo(f"  {number}  {one_line(one)}", err=True)
    number = click.prompt(
        _("Model to use"), type=click.IntRange(1, len(models)), default=1, err=True
    )
    return models[int(number) - 1]


def _profile_name(endpoint: "Endpoint", settings: "Settings", asks: bool) -> str:
    from urllib.parse import urlsplit

    host = urlsplit(endpoint.base_url).hostname or "server"
    name = "local" if endpoint.is_local else host.removeprefix("api.").partition(".")[0]
    name = name if _NAME.fullmatch(name) else "server"
    if not asks:
        return name
    while True:
        answer = str(click.prompt(_("Name of the profile"), default=name, err=True)).strip()
        if not _NAME.fullmatch(answer):
            click.echo(_("Use letters, digits, - _ ."), err=True)
        elif answer not in settings.servers or click.confirm(
            _("There is a profile {name}; replace it?").format(name=answer), err=True
        ):
            return answer


def _write(
    settings: "Settings",
    endpoint: "Endpoint",
    name: str,
    model: str | None,
    api_key_env: str | None,
    typed: "Secret | None",
    own: "ServerProfile | None",
) -> None:
    from ..api.stored_keys import key_file, store_key
    from ..config_file import set_server, with_server

    values = {"base_url": endpoint.base_url}
    if typed is not None:  # also in place of one in a variable, which was refused
        key = key_file(settings.paths, endpoint.base_url)
        values["api_key_file"] = os.path.relpath(key, settings.paths.config)
    elif api_key_env is not None:
        values["api_key_env"] = api_key_env
    elif endpoint.origin == "OPENAI_BASE_URL" and endpoint.api_key is not None:
        values["api_key_env"] = "OPENAI_API_KEY"
    elif own is not None and own.api_key_env is not None:
        values["api_key_env"] = own.api_key_env
    elif own is not None:
        values["api_key_file"] = str(own.api_key_file)
    if model is not None:
        values["model"] = model
    file = settings.paths.config_file
    if typed is not None:
        with_server(file, name, values, use=True)  # raises where the profile can't be written
        store_key(settings.paths, endpoint.base_url, typed.reveal())
    set_server(file, name, values, use=True)
    text = _("Wrote the profile {name} to {file}.")
    click.echo(text.format(name=name, file=file), err=True)
    click.echo(_('Try:\n  qchat tui\n  qchat ask "Hello"\n  qchat batch FILE.jsonl'))
