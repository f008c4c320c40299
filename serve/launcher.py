"""Become vLLM's API server: ``python -m qchat.serve.launcher --model demo --port 8000``.

vLLM's own server, with what qchat adds: it listens on this machine only, its parsers fit the model,
it starts quickly on a CPU (see `qchat.vllm_start`), and with ``--parent-pid`` it ends with the
process that started it. None of its own processes outlives it.
Options after ``--`` are vLLM's. Run as a module: vLLM's child processes import it again.
"""

import argparse
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .. import lifeline, vllm_start
from ..errors import Exit, QchatError, UsageError
from ..i18n import _
from ..processes import leave
from ..vllm_model import check_hub, locate, options_for

if __name__ == "__mp_main__":  # in a child that multiprocessing spawned, before it imports vLLM
    lifeline.tie_to_parent()

LOOPBACK = ("127.0.0.1", "::1", "localhost")
OWNED = ("host", "port", "model", "served-model-name")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; gives back the exit code. `arguments` as on the command line."""
    try:
        options, parent = _options(sys.argv[1:] if arguments is None else arguments)
        if parent is not None:
            lifeline.die_with_parent(signal.SIGTERM, parent)
        _check_port(options["host"], int(options["port"]))
        _serve(options)
    except QchatError as error:
        print(_("Error: {error}").format(error=error), file=sys.stderr)  # noqa: T201
        return error.exit_code
    return Exit.OK


def _options(arguments: Sequence[str]) -> tuple[dict[str, str], int | None]:
    """vLLM's options, and the process id that the starter named as its own."""
    own, extra = list(arguments), []
    if "--" in own:
        at = own.index("--")
        own, extra = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m qchat.serve.launcher",
        description=_("Start vLLM's API server on this machine's loopback address."),
        epilog=_("Options after -- go to vLLM, such as: -- --max-model-len 4096"),
    )
    parser.add_argument("--model", default="demo", help=_("folder, id on the hub, or demo"))
    parser.add_argument("--port", type=int, default=8000, help=_("port (%(default)s)"))
    parser.add_argument("--host", default="127.0.0.1", help=_("loopback address (%(default)s)"))
    parser.add_argument("--parent-pid", type=int, help=_("end with this process, the starter"))
    found = parser.parse_args(own)
    if found.host not in LOOPBACK:
        text = _(
            "This launcher serves this machine only; {host} would open the model to a network "
            "without a key. Use one of: {hosts}."
        )
        raise UsageError(text.format(host=found.host, hosts=", ".join(LOOPBACK)))
    options = _pairs(extra)
    for name in OWNED:
        if name in options:
            text = _("--{name} belongs to the launcher: give it before the --.")
            raise UsageError(text.format(name=name))
    name = found.model.rstrip("/").rpartition("/")[2]
    options |= {
        "model": found.model,
        "served-model-name": name,
        "host": found.host,
        "port": str(found.port),
    }
    return options, found.parent_pid


def _check_port(host: str, port: int) -> None:
    """Raise `UsageError` where somebody listens there; vLLM finds out after it has loaded."""
    try:
        family, kind, *_rest, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as vLLM does
            probe.bind(address)
    except (OSError, OverflowError) as error:
        text = _("Port {port} on {host} can't be had: {reason}. Give another --port.")
        raise UsageError(
            text.format(port=port, host=host, reason=getattr(error, "strerror", None) or error)
        ) from None


def _pairs(extra: Sequence[str]) -> dict[str, str]:
    """``["--max-model-len", "4096", "--enforce-eager"]`` as name → value, "" for none."""
    found: dict[str, str] = {}
    last = None
    for word in extra:
        if word.startswith("--"):
            name, _equals, value = word[2:].partition("=")
            last = name.replace("_", "-")
            found[last] = value
        elif last is not None and not found[last]:
            found[last] = word
        else:
            text = _("vLLM options are --name or --name value; '{word}' is neither.")
            raise UsageError(text.format(word=word))
    return found


def _serve(options: dict[str, str]) -> None:
    found = vllm_start.installed()
    options["model"] = locate(options["model"])
    with tempfile.TemporaryDirectory(prefix="qchat-", ignore_cleanup_errors=True) as temporary:
        vllm_start.set_environment(Path(temporary))
        _run(found, options)


def _run(found: vllm_start.Installed, options: dict[str, str]) -> None:
    one = vllm_start.one_process(found, options)
    if one:
        options["distributed-executor-backend"] = "uni"
        vllm_start.start_fork_server()
    vllm_start.import_modules(vllm_start.FRONTEND_MODULES)
    check_hub(options["model"])
    options |= options_for(options["model"], options, cpu=found.cpu)
    if found.cpu:
        options.setdefault("enforce-eager", "")

    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli_env_setup()
    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm"))
    line = [part for name, value in options.items() for part in (f"--{name}", value) if part]
    arguments = parser.parse_args(line)
    validate_parsed_serve_args(arguments)
    with vllm_start.forked_engines() if one else contextlib.nullcontext():
        uvloop.run(run_server(arguments))


if __name__ == "__main__":
    leave(main())
