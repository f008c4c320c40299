"""`qchat tui`: the chat in the terminal."""

import os
import sys

import click

from .. import options
from ..errors import UsageError
from ..i18n import _
from ..sampling import Sampling


@click.command(
    help=_(
        """Chat in the terminal, with any OpenAI-compatible server.

        The words, if there are any, are the first question. Conversations are kept; F1 shows the
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

\b
Exit codes: 0 left, 2 a setting is wrong, 3 the stored conversations can't be opened.
"""
    ),
)
@click.argument("question", nargs=-1, metavar="[QUESTION]...")
@click.option(
    "-c",
    "--continue",
    "go_on",
    is_flag=True,
    help=_("Go on with the last conversation."),
)
@options.system
@options.server_options
@options.sampling_options
def tui(
    question: tuple[str, ...],
    go_on: bool,
    system: str | None,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    model: str | None,
    sampling: Sampling,
) -> int:
    """Open the screen. Raises `QchatError` for what is wrong before it."""
    from .. import settings as settings_
    from .. import wire

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            _("qchat tui needs a terminal; for a pipe or a script there is qchat ask.")
        )
    settings = settings_.load()
    endpoint = wire.resolve(settings, server=server, base_url=base_url, api_key_env=api_key_env)
    sampling = sampling.merged_over(Sampling(preset=settings.preset))
    os.environ.setdefault("TEXTUAL_FPS", "120")  # a typed letter waits for half a frame at most

    from ..store import open_store
    from .app import ChatApp, Start

    with open_store(settings.paths.data) as store:
        last = store.conversations.last() if go_on else None
        start = Start(
            endpoint or wire.local_endpoint(settings),
            model,
            sampling,
            system,
            last.id if last is not None else None,
            " ".join(question),
        )
        return ChatApp(store, start).run() or 0
