"""The command line: a lazy table of commands, help, errors, exit codes.

Exit codes: 0 all done · 1 finished, some rows failed and are recorded · 2 usage, settings or
input, nothing was started · 3 engine or server unusable or lost (also a fault of qchat's own) ·
130, 143 interrupted · 141 nobody reads the output any more, as for any command in a pipe.
"""

import contextlib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from . import __version__, click_language, help_format
from .errors import Exit, QchatError
from .i18n import _, sentence_gap

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

click_language.install()  # before the first command is made: it takes click's words
help_format.install()

_CLOSED_PIPE = 141  # 128 + SIGPIPE

# name: (module:attribute, the line in `qchat --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "tui": ("qchat.tui.command:tui", _("Chat in the terminal.")),
    "ask": ("qchat.commands.ask:ask", _("Ask one question; the answer goes to standard output.")),
    "batch": ("qchat.batch.command:batch", _("Answer every row of a file, resumable.")),
    "chats": (
        "qchat.commands.chats:chats",
        _("List, search, export and delete stored conversations."),
    ),
    "serve": ("qchat.serve.command:serve", _("Start a vLLM server and supervise it.")),
    "batches": (
        "qchat.commands.batches:batches",
        _("Submit, list, show, cancel and fetch batches of a server's Batch API."),
    ),
    "status": ("qchat.serve.status:status", _("List the running servers.")),
    "logs": ("qchat.serve.logs:logs", _("Print the log of a server.")),
    "stop": ("qchat.serve.stop:stop", _("Stop a server and all of its processes.")),
    "restart": (
        "qchat.serve.restart:restart",
        _("Start a server again, with its name, port and options."),
    ),
    "doctor": (
        "qchat.serve.doctor.command:doctor",
        _("Check this machine, the settings and servers."),
    ),
    "bench": (
        "qchat.serve.bench.command:bench",
        _("Measure a server: latencies, throughput, errors."),
    ),
    "models": ("qchat.commands.models:models", _("List what a server offers.")),
    "recipes": (
        "qchat.commands.recipes:recipes",
        _("Show which models fit this machine, and how they would run."),
    ),
    "setup": (
        "qchat.commands.setup:setup",
        _("Find or name a server, test it, and keep it as a profile."),
    ),
    "demo": (
        "qchat.commands.demo:demo",
        _("Answer a file of questions with the bundled model."),
    ),
    "config": ("qchat.commands.config:config", _("Show the settings and where each came from.")),
    "completion": (
        "qchat.commands.completion:completion",
        _("Print a completion script for your shell."),
    ),
}


_COMPLETE_VARIABLE = "_QCHAT_COMPLETE"  # set by the shells' completion scripts
_CANDIDATES = "qchat.commands.completion_candidates"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _ClosedPipeError(Exception):
    """A BrokenPipeError on its way past click, which would exit with 1 (some rows failed)."""


class _UsageContext(click.Context):
    """A context whose errors of usage show its usage line: click leaves it out where an option has
    no value."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if isinstance(error, click.UsageError) and error.ctx is None:
            error.ctx = self
        return super().__exit__(kind, error, traceback)


click.Command.context_class = _UsageContext


class LazyGroup(click.Group):
    """Commands known by name and one line; a module is imported when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _colon, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not gc.isenabled():  # `__main__` disabled it for the imports
            gc.freeze()  # what they made is not looked at again
            gc.enable()
        assert isinstance(command, click.Command)
        _accept_debug(command)
        if _COMPLETE_VARIABLE in os.environ:
            importlib.import_module(_CANDIDATES).add(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            text = _("No such command {name!r}.").format(name=name)
            typed = name.lower()
            near = [command for command in COMMANDS if sorted(command) == sorted(typed)]
            near = near or get_close_matches(typed, COMMANDS, n=1, cutoff=0.7)
            if near:
                text += sentence_gap() + _("Did you mean {near!r}?").format(near=near[0])
            else:
                names = _("Commands are {names}.").format(names=", ".join(COMMANDS))
                text += sentence_gap() + names
            raise click.UsageError(text, ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)  # --help prints from in here
        except BrokenPipeError as e:
            raise _ClosedPipeError from e

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as e:
            raise _ClosedPipeError from e

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, line) for name, (_where, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=line)
            for name, (_where, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Not Group's own: it would import every command for its help.
        return commands + click.Command.shell_complete(self, ctx, incomplete)


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, help=_("Show the traceback of an error.")
    )


def _accept_debug(command: click.Command) -> None:
    """`--debug` works after the command's name, too; `run` looks for it."""
    if not any(p.name == "debug" for p in command.params):
        command.params.append(_debug_option())
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            _accept_debug(sub)


@click.group(
    cls=LazyGroup,
    params=[_debug_option()],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_("Chat, bulk answers and a server for open models on vLLM."),
    epilog=_(
        """\b
Examples:
  qchat ask "Why is the sky blue?"
  git diff | qchat ask "Write a commit message for this:"
  qchat batch questions.jsonl --model demo
  qchat COMMAND --help
"""
    ),
)
@click.version_option(__version__, prog_name="qchat", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """The group; without a command it prints the help."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line on `argv` (without the program's name) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # never die on a narrow encoding
    try:
        code = _invoke(args)
        sys.stdout.flush()
    except BrokenPipeError:
        from .console import stdout_closed

        stdout_closed()
        return _CLOSED_PIPE
    except OSError as e:
        from .console import stdout_closed

        stdout_closed()
        return _fail(
            _("Can't write to standard output: {why}.").format(why=_(e.strerror)), Exit.ENGINE
        )
    return code


def _open_closed_streams() -> None:
    """Give what was closed by the caller (``>&-``) to /dev/null, so that it can be written to, and
    no file of ours is taken for it."""
    for name, mode in (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, mode)  # the lowest that is free: the stream's own
            setattr(sys, name, os.fdopen(number, "w" if mode else "r", encoding="utf-8"))


def _invoke(args: list[str]) -> int:
    debug = "--debug" in (args[: args.index("--")] if "--" in args else args)
    if debug:
        _log_to_stderr()
    try:
        result = _call(args)
    except click.ClickException as e:
        if isinstance(e, click.NoSuchOption):
            from .help_groups import no_such_option

            e = no_such_option(e)
        with contextlib.suppress(OSError):  # nobody reads stderr: the exit code still tells
            e.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except _ClosedPipeError as e:
        raise BrokenPipeError from e
    except QchatError as e:
        if debug:
            _traceback()
        return _fail(str(e), e.exit_code)
    except Exception as e:
        if debug:
            _traceback()
        if isinstance(e, OSError) and e.errno == errno.ENAMETOOLONG and e.filename:
            text = _("The file name {name} is too long; give a shorter one.")
            return _fail(text.format(name=e.filename), Exit.USAGE)
        if debug:
            return Exit.ENGINE
        if isinstance(e, OSError) and e.errno in _FULL and e.filename is None:
            # Files of our own are spoken of where they are written.
            text = _("Can't write to standard output: {why}.")
            return _fail(text.format(why=_(e.strerror)), Exit.ENGINE)
        text = _("{kind}: {what}. Run again with --debug for the traceback.")
        what = " ".join(str(e).split()).rstrip(".。")
        return _fail(text.format(kind=type(e).__name__, what=what), Exit.ENGINE)
    return result if isinstance(result, int) else Exit.OK


def _call(args: list[str]) -> Any:
    from .console import color_choice

    try:
        # click takes colours from what is no terminal, unless it is told otherwise.
        return main.main(args, prog_name="qchat", standalone_mode=False, color=color_choice())
    except SystemExit as e:
        return e.code


def _fail(message: str, code: int) -> int:
    from .sanitize import clean  # a message may quote a server or a file

    with contextlib.suppress(OSError):  # nobody reads stderr: the exit code still tells
        click.echo(clean(_("Error: {message}").format(message=message)), err=True)
    return code


def _log_to_stderr() -> None:
    import logging

    if logging.lastResort is not None:  # writes to what `sys.stderr` is at that moment
        logging.getLogger("qchat").addHandler(logging.lastResort)


def _traceback() -> None:
    import traceback

    from .sanitize import clean

    click.echo(clean(traceback.format_exc()), err=True, nl=False)
