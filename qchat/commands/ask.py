"""`qchat ask`: one question from the arguments or a pipe, the answer streamed to stdout.

The answer alone goes to standard output; thinking, notes and errors go to standard error.
"""

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from .. import cli_options as options
from ..errors import QchatError, UsageError
from ..i18n import _
from ..sampling import Sampling

if TYPE_CHECKING:
    from ..api.endpoint import Endpoint
    from ..settings import Settings
    from .saved_ask import SavedAsk

_STDIN_MAX: Final = 64 * 2**20  # bytes; no context is longer


@click.command(
    help=_(
        """Ask one question; the answer goes to standard output as it comes.

        The question is the words, or what is piped in, or both: the piped text then stands after
        the words. A last word of - reads standard input, too.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat ask "Why is the sky blue?"
  git diff | qchat ask "Write a commit message for this:"
  qchat ask --preset code --max-tokens 2000 "Reverse a string in Rust" > reverse.md
  qchat ask --system "Answer in French." --json "What is vLLM?" | jq .usage
  qchat ask --save "What is a journal?" && qchat ask --continue "And a ledger?"
  qchat ask --base-url http://127.0.0.1:8000 --model demo "Hello"

\b
Exit codes: 0 answered, 2 the question or a setting is wrong,
3 no server, or it failed, 130 interrupted (what came is printed).
"""
    ),
)
@click.argument("question", nargs=-1, metavar="[QUESTION]...")
@options.system
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help=_("Print one JSON object: content, reasoning, model, usage, finish_reason, timings."),
)
@click.option(
    "--show-thinking/--hide-thinking",
    default=None,
    help=_("Print the thinking to standard error; by default where that is a terminal."),
)
@click.option("--save", is_flag=True, help=_("Store it as a conversation; see: qchat chats"))
@click.option(
    "--continue", "go_on", is_flag=True, help=_("Go on with the conversation that was last.")
)
@click.option(
    "--conversation", metavar="ID", help=_("Go on with this one; an id or its beginning.")
)
@options.server_options
@options.sampling_options
def ask(
    question: tuple[str, ...],
    system: str | None,
    as_json: bool,
    show_thinking: bool | None,
    save: bool,
    go_on: bool,
    conversation: str | None,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    model: str | None,
    sampling: Sampling,
) -> int:
    """Ask and print. Raises `QchatError`."""
    from .. import settings as settings_
    from ..api import endpoint as wire

    settings = settings_.load()
    endpoint = wire.resolve(settings, server=server, base_url=base_url, api_key_env=api_key_env)
    text = question_text(question)
    if system is not None:
        system = _utf8(system, "--system")
    sampling = sampling.merged_over(Sampling(preset=settings.preset))
    if go_on and conversation:
        raise UsageError(_("Give --continue or --conversation, not both."))
    if not (save or go_on or conversation):
        messages = [{"role": "user", "content": text}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return _asked(settings, endpoint, messages, model, sampling, as_json, show_thinking, None)

    from ..store import open_store
    from .saved_ask import SavedAsk

    with open_store(settings.paths.data) as store:
        if store.notice:
            click.echo(_("Note: {text}").format(text=store.notice), err=True)
        # Before anything is asked of a server: what was typed or piped in is on disk.
        with store.together():
            if go_on or conversation:
                keeper = SavedAsk.going_on(store, conversation, system)
            else:
                keeper = SavedAsk.new(store, text, system)
            messages = keeper.ask(text)
        try:
            code = _asked(
                settings, endpoint, messages, model, sampling, as_json, show_thinking, keeper
            )
        except (QchatError, OSError, KeyboardInterrupt):  # OSError: nobody takes the answer
            click.echo(_kept(keeper), err=True)
            raise
        if not as_json:
            note = _("Saved. To go on: qchat ask --conversation {id}")
            click.echo(note.format(id=keeper.conversation.id), err=True)
        return code


def _kept(keeper: "SavedAsk") -> str:
    """A sentence on what is stored where there is no whole answer."""
    if keeper.asked:
        text = _("The question is saved, with what came of the answer: qchat chats show {id}")
    else:
        text = _("The question is saved, without an answer: qchat chats show {id}")
    return text.format(id=keeper.conversation.id)


def _asked(
    settings: "Settings",
    endpoint: "Endpoint | None",
    messages: list[dict[str, Any]],
    model: str | None,
    sampling: Sampling,
    as_json: bool,
    show_thinking: bool | None,
    keeper: "SavedAsk | None",
) -> int:

    if endpoint is None:
        from ..api.local_servers import local_server

        endpoint = local_server(settings)

    from ..api.client import Client
    from ..api.models import server_model
    from .ask_output import Printer, stream_answer

    show = sys.stderr.isatty() if show_thinking is None else show_thinking
    with Client(endpoint) as client:
        chosen = model or endpoint.model or server_model(client)
        body = sampling.fill({"model": chosen, "messages": messages})
        if keeper is not None:
            keeper.begin(body, endpoint.name or endpoint.base_url)
        return stream_answer(client, body, Printer(as_json=as_json, show_thinking=show), keeper)


def question_text(words: tuple[str, ...]) -> str:
    """The question out of the arguments and standard input. Raises `UsageError`."""
    asked_for = bool(words) and words[-1] == "-"
    if asked_for:
        words = words[:-1]
    text = _utf8(" ".join(words), _("the question"))
    if asked_for or _is_fed():
        piped = _piped_text()
        text = f"{text}\n\n{piped}" if text.strip() and piped.strip() else text + piped
    if not text.strip():
        raise UsageError(
            _('There is no question. Write it: qchat ask "…", or pipe it in: … | qchat ask')
        )
    return text


def _is_fed() -> bool:
    """Whether standard input is a pipe, a file or a socket: not a terminal, not /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return sys.stdin is not None and not sys.stdin.isatty()
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _piped_text() -> str:
    try:
        data = sys.stdin.buffer.read(_STDIN_MAX + 1)
    except OSError as e:
        raise UsageError(_("Can't read standard input: {why}.").format(why=e.strerror)) from e
    if len(data) > _STDIN_MAX:
        raise UsageError(
            _("Standard input is longer than {n} MiB, more than any model reads.").format(
                n=_STDIN_MAX >> 20
            )
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise UsageError(
            _(
                "Standard input is not UTF-8 text (byte {n}); convert it first, "
                "such as with: iconv -f gb18030 -t utf-8"
            ).format(n=e.start + 1)
        ) from e
    if "\0" in text:
        raise UsageError(_("Standard input is a binary file, not text."))
    return text


def _utf8(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise UsageError(_("{what} is not valid UTF-8 text.").format(what=what)) from e
    return text
