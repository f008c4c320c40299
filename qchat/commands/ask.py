"""`qchat ask`: one question from the arguments or a pipe, the answer streamed to stdout.

Standard output gets nothing but the answer; reasoning, notes and errors go to standard error.
"""

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from .. import cli_options as options
from ..errors import QchatError, UsageError
from ..help_groups import GroupedCommand
from ..i18n import _
from ..sampling import Sampling

if TYPE_CHECKING:
    from ..api.endpoint import Endpoint
    from ..settings import Settings
    from .ask_markdown import MarkdownPrinter
    from .ask_output import Printer
    from .saved_ask import SavedAsk

_STDIN_MAX: Final = 64 * 2**20  # bytes; longer than the context of any model


@click.command(
    cls=GroupedCommand,
    groups={
        _("Question and answer"): (
            *("system", "as_json", "plain", "show_thinking"),
            *("save", "continue_last", "conversation"),
        ),
        **options.SERVER_GROUP,
        **options.SAMPLING_GROUP,
    },
    help=_(
        """Ask one question and stream the answer to standard output.

        The question is taken from the arguments, from standard input where it is a pipe or a file,
        or from both: the piped text then follows the arguments. A final argument of - reads
        standard input, too.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat ask "Why is the sky blue?"
  git diff | qchat ask "Write a commit message for this:"
  qchat ask --preset code "Reverse a string in Rust" > reverse.md
  qchat ask --system "Answer in French." --json "What is vLLM?" | jq .usage
  qchat ask --save "What is a log?" && qchat ask --continue "And a ledger?"
  qchat ask --plain "Write a table of HTTP codes"
  qchat ask --base-url http://127.0.0.1:8000 --model demo "Hello"

\b
Exit codes: 0 answered, 2 invalid question or setting, 3 no server, or the
request failed, 130 interrupted (the partial answer is printed).
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
    "--plain",
    is_flag=True,
    help=_("Print the text as it is; on a terminal Markdown is drawn otherwise."),
)
@click.option(
    "--show-thinking/--hide-thinking",
    default=None,
    help=_("Print the reasoning to standard error; by default if that is a terminal."),
)
@click.option(
    "--save", is_flag=True, help=_("Save question and answer as a conversation; see: qchat chats")
)
@click.option(
    "--continue", "continue_last", is_flag=True, help=_("Continue the most recent conversation.")
)
@click.option(
    "--conversation", metavar="ID", help=_("Continue this conversation; ID may be a prefix of it.")
)
@options.server_options
@options.sampling_options
def ask(
    question: tuple[str, ...],
    system: str | None,
    as_json: bool,
    plain: bool,
    show_thinking: bool | None,
    save: bool,
    continue_last: bool,
    conversation: str | None,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    model: str | None,
    sampling: Sampling,
) -> int:
    """Send the question and print the answer. Raises `QchatError`."""
    from .. import settings as settings_
    from ..api import endpoint as endpoints

    settings = settings_.load()
    endpoint = endpoints.resolve(
        settings, server=server, base_url=base_url, api_key_env=api_key_env
    )
    text = question_text(question)
    show = sys.stderr.isatty() if show_thinking is None else show_thinking
    printer = _printer(settings, as_json=as_json, plain=plain, show_thinking=show)
    if system is not None:
        system = _utf8(system, "--system")
    sampling = sampling.merged_over(Sampling(preset=settings.preset))
    if continue_last and conversation:
        raise UsageError(_("Give --continue or --conversation, not both."))
    if not (save or continue_last or conversation):
        messages = [{"role": "user", "content": text}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return _send(settings, endpoint, messages, model, sampling, printer, None)

    from ..store import open_store
    from .saved_ask import SavedAsk

    with open_store(settings.paths.data) as store:
        if store.notice:
            click.echo(_("Note: {text}").format(text=store.notice), err=True)
        # The question is on disk before anything is sent to a server.
        if continue_last or conversation:
            saved = SavedAsk.continuing(store, conversation, text, system)
        else:
            saved = SavedAsk.new(store, text, system)
        try:
            code = _send(settings, endpoint, saved.messages, model, sampling, printer, saved)
        except (QchatError, OSError, KeyboardInterrupt):  # OSError: the reader of stdout is gone
            click.echo(_incomplete_note(saved), err=True)
            raise
        if not as_json:
            note = _("Saved. To continue: qchat ask --conversation {id}")
            click.echo(note.format(id=saved.conversation.id), err=True)
        return code


def _incomplete_note(saved: "SavedAsk") -> str:
    """What is stored where the answer is not complete."""
    if saved.sent:
        text = _("The question and the partial answer are saved: qchat chats show {id}")
    else:
        text = _("The question is saved, without an answer: qchat chats show {id}")
    return text.format(id=saved.conversation.id)


def _send(
    settings: "Settings",
    endpoint: "Endpoint | None",
    messages: list[dict[str, Any]],
    model: str | None,
    sampling: Sampling,
    printer: "Printer",
    saved: "SavedAsk | None",
) -> int:
    if endpoint is None or endpoint.is_local:
        from ..api.local_servers import local_server, with_own_key

        endpoint = local_server(settings) if endpoint is None else with_own_key(settings, endpoint)

    from ..api.client import Client
    from ..api.models import server_model
    from .ask_output import stream_answer

    with Client(endpoint) as client:
        chosen = model or endpoint.model or server_model(client)
        body = sampling.fill({"model": chosen, "messages": messages})
        if saved is not None:
            saved.begin(body, endpoint.name or endpoint.base_url)
        return stream_answer(client, body, printer, saved)


def _printer(settings: "Settings", *, as_json: bool, plain: bool, show_thinking: bool) -> "Printer":
    """What prints the answer: on a terminal Markdown is drawn, in a pipe it stays as it is."""
    from .ask_output import Printer

    is_drawn = not plain and not as_json and sys.stdout.isatty()
    if not is_drawn or os.environ.get("TERM", "dumb") == "dumb":
        return Printer(as_json=as_json, show_thinking=show_thinking)

    def markdown() -> "MarkdownPrinter":
        from .ask_markdown import MarkdownPrinter, color_system, palette_for

        palette = palette_for(os.environ, settings.paths.state / "background")
        return MarkdownPrinter(sys.stdout, palette, color_system(os.environ))

    return Printer(as_json=False, show_thinking=show_thinking, markdown=markdown)


def question_text(arguments: tuple[str, ...]) -> str:
    """The question from the arguments and standard input. Raises `UsageError`."""
    read_stdin = bool(arguments) and arguments[-1] == "-"
    if read_stdin:
        arguments = arguments[:-1]
    text = _utf8(" ".join(arguments), _("the question"))
    if read_stdin or _stdin_has_data():
        piped = _stdin_text()
        text = f"{text}\n\n{piped}" if text.strip() and piped.strip() else text + piped
    if not text.strip():
        raise UsageError(
            _('The question is missing. Give it: qchat ask "…", or pipe it in: … | qchat ask')
        )
    return text


def _stdin_has_data() -> bool:
    """Whether standard input is a pipe, a file or a socket: not a terminal, not /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return sys.stdin is not None and not sys.stdin.isatty()
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _stdin_text() -> str:
    try:
        data = sys.stdin.buffer.read(_STDIN_MAX + 1)
    except OSError as e:
        raise UsageError(_("Can't read standard input: {why}.").format(why=_(e.strerror))) from e
    if len(data) > _STDIN_MAX:
        raise UsageError(
            _("Standard input is longer than {n} MiB, which no model can read.").format(
                n=_STDIN_MAX >> 20
            )
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise UsageError(
            _(
                "Standard input is not UTF-8 text (byte {n}); convert it first, "
                "for example: iconv -f gb18030 -t utf-8"
            ).format(n=e.start + 1)
        ) from e
    if "\0" in text:
        raise UsageError(_("Standard input is a binary file, not text."))
    return text


def _utf8(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise UsageError(_("{name} is not valid UTF-8 text.").format(name=name)) from e
    return text
