"""Become vLLM's API server: ``python -m qchat.serve.launcher --model demo --port 8000``.

vLLM's own server, with what qchat adds: it listens on this machine only (unless `qchat serve` has
put the access layer around it), its parsers fit the model, it starts quickly on a CPU (see
`qchat.engine.vllm_startup`), and with ``--parent-pid`` it ends with the process that started it.
None of its own processes outlives it.
Options after ``--`` are vLLM's. Run as a module: vLLM's child processes import it again.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import lifeline
from ..engine import vllm_startup as vllm_start
from ..engine.vllm_model import check_hub, locate_model, options_for
from ..errors import Exit, QchatError, UsageError
from ..i18n import _
from ..processes import exit_now
from . import access, ports
from .passthrough_args import option_names

if __name__ == "__mp_main__":  # in a child that multiprocessing spawned, before it imports vLLM
    lifeline.tie_to_parent()

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MIDDLEWARE = "qchat.serve.access.Access"
OWNED = ("host", "port", "model", "served-model-name")


@dataclass(frozen=True, slots=True)
class LauncherOptions:
    """What is to be served: options of vLLM's by name, and words for it as a person gave them."""

    options: Mapping[str, str]
    extra: Sequence[str]
    parent: int | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; gives back the exit code. `arguments` as on the command line."""
    try:
        order = _order(sys.argv[1:] if arguments is None else arguments)
        if order.parent is not None:
            lifeline.die_with_parent(signal.SIGTERM, order.parent)
        ports.check(order.options["host"], int(order.options["port"]))
        _serve(order)
    except QchatError as error:
        print(_("Error: {error}").format(error=error), file=sys.stderr)  # noqa: T201
        return error.exit_code
    return Exit.OK


def _order(arguments: Sequence[str]) -> LauncherOptions:
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
    parser.add_argument("--served-model-name", help=_("what requests call it"))
    parser.add_argument("--port", type=int, default=8000, help=_("port (%(default)s)"))
    parser.add_argument("--host", default="127.0.0.1", help=_("loopback address (%(default)s)"))
    parser.add_argument("--parent-pid", type=int, help=_("end with this process, the starter"))
    found = parser.parse_args(own)
    guarded = access.VARIABLE in os.environ  # qchat serve has said who may ask what
    if found.host not in LOOPBACK and not guarded:
        text = _(
            "This launcher serves this machine only; {host} would open the model to a network "
            "without a key. Use one of: {hosts}, or qchat serve."
        )
        raise UsageError(text.format(host=found.host, hosts=", ".join(LOOPBACK)))
    for name in option_names(extra):
        if name in OWNED:
            text = _("--{name} belongs to the launcher: give it before the --.")
            raise UsageError(text.format(name=name))
    options = {
        "model": found.model,
        "served-model-name": found.served_model_name or found.model.rstrip("/").rpartition("/")[2],
        "host": found.host,
        "port": str(found.port),
    }
    if guarded:
        options["middleware"] = MIDDLEWARE
    return LauncherOptions(options, extra, found.parent_pid)


def _serve(order: LauncherOptions) -> None:
    found = vllm_start.installed_vllm()
    model = locate_model(order.options["model"])
    with vllm_start.socket_folder() as temporary:
        vllm_start.set_environment(Path(temporary))
        _run(found, dict(order.options) | {"model": model}, order.extra)


def _run(found: vllm_start.InstalledVllm, options: dict[str, str], extra: Sequence[str]) -> None:
    one = vllm_start.one_process(found, options | option_names(extra))
    if one:
        options["distributed-executor-backend"] = "uni"
        vllm_start.start_fork_server()
    vllm_start.import_modules(vllm_start.FRONTEND_MODULES)
    check_hub(options["model"])
    given = options | option_names(extra)
    options |= options_for(options["model"], given, cpu=found.cpu)
    if found.cpu and not {"enforce-eager", "no-enforce-eager"} & given.keys():
        options["enforce-eager"] = ""

    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli_env_setup()
    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm"))
    line = [part for name, value in options.items() for part in (f"--{name}", value) if part]
    arguments = parser.parse_args([*line, *extra])
    validate_parsed_serve_args(arguments)
    with vllm_start.forked_engines() if one else contextlib.nullcontext():
        uvloop.run(run_server(arguments))


if __name__ == "__main__":
    exit_now(main())
