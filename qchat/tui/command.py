"""`qchat tui`: the chat in the terminal."""

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from .. import cli_options as options
from ..errors import UsageError
from ..help_groups import GroupedCommand
from ..i18n import _
from ..sampling import Sampling

if TYPE_CHECKING:
    from ..store import Store


@click.command(
    cls=GroupedCommand,
    groups={
        _("Chat"): ("go_on", "system", "web", "port"),
        **options.SERVER_GROUP,
        **options.SAMPLING_GROUP,
    },
    help=_(
        """Chat in the terminal, with any OpenAI-compatible server.

        QUESTION, if given, is sent as the first message. Conversations are stored; F1 shows the
        keys.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat tui
  qchat tui "Why is the sky blue?"
  qchat tui --continue
  qchat tui --base-url http://127.0.0.1:8000 --model demo
  qchat tui --preset qwen3-thinking --system "Answer in French."
  qchat tui --web

\b
Exit codes: 0 success, 2 usage or configuration error,
3 conversations can't be opened or saved.
"""
    ),
)
@click.argument("question", nargs=-1, metavar="[QUESTION]...")
@click.option(
    "-c",
    "--continue",
    "go_on",
    is_flag=True,
    help=_("Open the last conversation."),
)
@click.option(
    "--web",
    is_flag=True,
    help=_("Show the chat in a browser on this machine, at an address that works once."),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=_("Port for --web on 127.0.0.1; 0 (the default) picks a free one."),
)
@options.system
@options.server_options
@options.sampling_options
def tui(
    question: tuple[str, ...],
    go_on: bool,
    web: bool,
    port: int | None,
    system: str | None,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    model: str | None,
    sampling: Sampling,
) -> int:
    """Run the chat. Raises `QchatError`."""
    from .. import settings as settings_
    from ..api import endpoint as endpoints
    from ..system_prompts import Prompts

    if port is not None and not web:
        raise UsageError(_("--port needs --web."))
    in_browser = _in_browser()
    if not (web or in_browser or (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageError(_("qchat tui needs a terminal; use qchat ask in pipes and scripts."))
    if not (web or in_browser) and os.environ.get("TERM") == "dumb":
        text = _(
            "This terminal can't show the chat (TERM=dumb). Use qchat ask, with --save and "
            "--continue for a conversation, or qchat tui --web for a browser; or set TERM to what "
            "the terminal is, such as xterm-256color."
        )
        raise UsageError(text)
    settings = settings_.load()
    endpoint = endpoints.resolve(
        settings, server=server, base_url=base_url, api_key_env=api_key_env
    )
    if in_browser:
        from ..lifeline import die_with_parent

        die_with_parent(signal.SIGTERM)
    elif web:
        return _serve_web(question, port or 0)
    prompt = settings.tui.system_prompt
    os.environ.setdefault("TEXTUAL_FPS", "240")  # a typed character is drawn within 4 ms

    import gc
    from contextlib import ExitStack

    gc.disable()  # until the first paint; imported objects stay anyway
    from .actions.keymap import Keymap
    from .app import ChatApp
    from .launch import LaunchOptions

    keymap = Keymap(settings)

    start = LaunchOptions(
        endpoint or endpoints.local_endpoint(settings),
        model,
        sampling,
        system,
        go_on,
        " ".join(question),
        settings.tui,
        chosen=bool(server or base_url),
        settings=settings,
        prompt=Prompts(settings.paths).read(prompt) if prompt else None,
        pictures=not in_browser,
    )
    with ExitStack() as stack:

        def open_conversations() -> "Store":
            from ..store import open_store_or_memory

            return stack.enter_context(open_store_or_memory(settings.paths.data))

        app = ChatApp(open_conversations, start, keymap)
        code = app.run() or 0
        for note in app.parts.exit_notes():
            click.echo(note, err=in_browser)  # there stdout is the page's
        if (error := app.failure or app.fault) is not None:
            raise error
        return code


def _in_browser() -> bool:
    """Whether `qchat tui --web` started this process for a page."""
    return os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")


def _serve_web(question: tuple[str, ...], port: int) -> int:
    from importlib.util import find_spec

    if question:
        raise UsageError(_("--web takes no first question: every page would send it again."))
    if find_spec("textual_serve") is None:
        from ..installation import install_hint

        raise UsageError(_("--web needs textual-serve: {hint}").format(hint=install_hint("web")))
    from .web import serve

    return serve(port)
