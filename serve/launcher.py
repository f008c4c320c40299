"""Become vLLM's API server: ``python -m qchat.serve.launcher --model demo --port 8000``.

This is vLLM's own server with additions of qchat's: it listens on this machine only (unless `qchat
serve` has put the access layer around it), its parsers match the model, it starts fast on a CPU
(see `qchat.engine.runtime.vllm_startup`), and with ``--parent-pid`` it ends with the process that
started it. None of its own processes outlives it. Run it as a module: vLLM's child processes import
it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import lifeline
from ..engine.runtime import vllm_startup
from ..engine.runtime.vllm_entry_points import Use, load
from ..engine.runtime.vllm_model import check_hub, locate_model, options_for
from ..errors import Exit, QchatError, UsageError
from ..i18n import _
from ..processes import exit_now
from .access import access_rules
from .planning.launcher_options import LauncherOptions
from .planning.passthrough_args import option_names, to_arguments
from .processes import inherited_sockets, ports
from .processes.inherited_sockets import InheritedSockets

if __name__ == "__mp_main__":  # in a child that multiprocessing spawned, before it imports vLLM
    lifeline.tie_to_parent()

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MIDDLEWARE = "qchat.serve.access.Access"


ONE_PROCESS = {"distributed-executor-backend": "uni"}
"""What is added where one process is engine and worker (see `vllm_startup.one_process`)."""


def added_options(middleware: str | None) -> dict[str, str]:
    """Return the options that vLLM gets besides the plan's, by name."""
    # Up to 0.31 vLLM lets the pages of every site read its answers.
    added = {"allowed-origins": "[]"}
    return added if middleware is None else {**added, "middleware": middleware}


def eager_options(cpu: bool, options: Mapping[str, str]) -> dict[str, str]:
    """Return what is added to `options` so that a start on the CPU compiles nothing."""
    is_decided = {"enforce-eager", "no-enforce-eager"} & options.keys()
    return {"enforce-eager": ""} if cpu and not is_decided else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal and return the exit code; `arguments` default to the command line."""
    try:
        options = LauncherOptions.from_arguments(sys.argv[1:] if arguments is None else arguments)
        has_access_rules = access_rules.VARIABLE in os.environ
        if options.uds is None and options.host not in LOOPBACK and not has_access_rules:
            text = _(
                "This launcher serves this machine only; {host} would expose the model to a "
                "network without a key. Use one of: {hosts}, or qchat serve."
            )
            raise UsageError(text.format(host=options.host, hosts=", ".join(LOOPBACK)))
        if options.parent_pid is not None:
            lifeline.die_with_parent(signal.SIGTERM, options.parent_pid)
        sockets = inherited_sockets.inherited()
        if sockets is None and options.uds is None:
            ports.check(options.host, options.port)
        _serve(options, MIDDLEWARE if has_access_rules else None, sockets)
    except QchatError as error:
        print(_("Error: {error}").format(error=error), file=sys.stderr)  # noqa: T201
        return error.exit_code
    return Exit.OK


def _serve(
    options: LauncherOptions, middleware: str | None, sockets: InheritedSockets | None
) -> None:
    installed = vllm_startup.installed_vllm()
    warning = vllm_startup.check_version(installed, Use.SERVE)
    if warning is not None:
        print(_("Warning: {warning}").format(warning=warning), file=sys.stderr)  # noqa: T201
    vllm_options = {
        "model": locate_model(options.model),
        "served-model-name": options.served_model_name,
        **added_options(middleware),
    }
    if options.uds is None:
        vllm_options |= {"host": options.host, "port": str(options.port)}
    else:
        vllm_options["uds"] = options.uds
    with vllm_startup.socket_folder() as temporary:
        vllm_startup.set_environment(Path(temporary))
        try:
            _run(installed, vllm_options, options.vllm_args, sockets)
        finally:
            if options.uds is not None:  # vLLM leaves it
                Path(options.uds).unlink(missing_ok=True)


def _run(
    installed: vllm_startup.InstalledVllm,
    options: dict[str, str],
    vllm_args: Sequence[str],
    sockets: InheritedSockets | None,
) -> None:
    """Run the API server with vLLM's `options` by name, then `vllm_args`, which win."""
    in_one_process = vllm_startup.one_process(installed, options | option_names(vllm_args))
    if in_one_process:
        options |= ONE_PROCESS
        vllm_startup.start_fork_server()
    vllm_startup.import_front_end()
    check_hub(options["model"])
    all_options = options | option_names(vllm_args)
    options |= options_for(options["model"], all_options, cpu=installed.cpu)
    options |= eager_options(installed.cpu, all_options)

    import uvloop

    load("cli_env_setup")()
    parser = load("make_arg_parser")(load("FlexibleArgumentParser")(prog="vllm"))
    arguments = parser.parse_args([*to_arguments(options), *vllm_args])
    load("validate_parsed_serve_args")(arguments)
    from .access.http_protocol import GuardedProtocol

    run_server = load("run_server")
    with contextlib.ExitStack() as stack:
        if in_one_process:
            stack.enter_context(vllm_startup.forked_engines())
        if sockets is not None:
            stack.enter_context(sockets.used_by(run_server))
        uvloop.run(run_server(arguments, http=GuardedProtocol))


if __name__ == "__main__":
    exit_now(main())
