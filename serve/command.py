"""`qchat serve`: start a vLLM server and supervise it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli_options import time_span
from ..errors import Exit, UsageError
from ..help_groups import GroupedCommand
from ..i18n import _
from .option_groups import GROUPS
from .planning import batch_options, limit_options

if TYPE_CHECKING:
    from ..settings import Paths
    from .planning.options import DeployOptions, ServeOptions
    from .planning.plan import ServePlan


class _ServeCommand(GroupedCommand):
    """A command that keeps its arguments as they were typed, for the commands that it suggests."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the arguments into `ctx.obj` before click consumes them."""
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)


class GpuCount(click.ParamType[int]):
    """A number of GPUs, or ``all``, which is 0."""

    name = "gpus"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number. Fails for anything else."""
        from .planning.options import ALL_GPUS

        text = str(value)
        if text == "all":
            return ALL_GPUS
        if not text.isdecimal() or int(text) < 1:
            self.fail(_("{value!r} is neither a number above 0 nor all.").format(value=text))
        return int(text)


@click.command(
    cls=_ServeCommand,
    groups=GROUPS,
    help=_(
        """Start a vLLM server for MODEL: a recipe (see qchat recipes), a Hugging Face model id, a
        folder, or demo for the bundled model. Without MODEL: the best recipe that fits this
        machine.

        By default the server listens on 127.0.0.1 and needs no API key. A public --host needs one,
        and so does a server behind a reverse proxy on this machine: not every proxy adds headers
        by which it is recognised. Routes of vLLM outside its documented API are closed. Options
        after -- are passed to vLLM unchanged.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat serve demo
  qchat serve Qwen3-8B --detach && qchat status
  qchat serve Qwen3-32B --host 0.0.0.0 --generate-key
  qchat serve ./my-model --max-model-len 8192 -- --max-num-seqs 64
  qchat serve demo --print-command
  qchat serve Qwen3-8B --batches --generate-key
  qchat serve Qwen3-32B --write-deploy svc --domain llm.example --generate-key
"""
    ),
)
@click.argument("model", required=False)
@click.option("--model", "model_option", metavar="MODEL", help=_("Same as the MODEL argument."))
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help=_("Address to listen on (127.0.0.1)."),
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    default=8000,
    help=_("Port to listen on (8000)."),
)
@click.option(
    "--name", metavar="NAME", help=_("Name of this server in qchat status, logs and stop.")
)
@click.option("--served-model-name", metavar="NAME", help=_("Model name in API requests."))
@click.option(
    "--max-model-len",
    type=click.IntRange(1),
    metavar="N",
    help=_("Context length in tokens, prompt and output together."),
)
@click.option(
    "--tensor-parallel-size",
    type=click.IntRange(1),
    metavar="N",
    help=_("Number of GPUs to split the model across."),
)
@click.option(
    "--gpu-memory-utilization",
    type=click.FloatRange(0.05, 1),
    metavar="X",
    help=_("Fraction of each GPU's memory to use."),
)
@click.option(
    "--gpus",
    type=GpuCount(),
    metavar="N|all",
    help=_("Use N GPUs, or all that are free; by default as few as the model needs."),
)
@click.option("--yarn", is_flag=True, help=_("Extend the context length with YaRN."))
@click.option("--force", is_flag=True, help=_("Start the model even if it does not seem to fit."))
@click.option(
    "--api-key-file",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_("File of API keys, one per line (NAME KEY or KEY); removing a line revokes its key."),
)
@click.option(
    "--generate-key", is_flag=True, help=_("Generate an API key in a private file and use it.")
)
@click.option(
    "--allowed-origin",
    "allowed_origins",
    multiple=True,
    metavar="ORIGIN",
    help=_("Origin of a web page that may send requests (CORS); repeatable."),
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST",
    help=_("Host name to accept besides this machine's own; repeatable."),
)
@click.option(
    "--stall-timeout",
    callback=time_span,
    metavar="DURATION",
    help=_(
        "Restart a server whose requests make no progress for so long, such as 5m; 0 for never. "
        "Without it, that is announced after 1 minute and ended after 10."
    ),
)
@click.option(
    "--idle-stop",
    callback=time_span,
    metavar="DURATION",
    help=_(
        "End vLLM after so long without a request, such as 20m, and start it again for the next "
        "one, which waits. The GPU's memory is free meanwhile."
    ),
)
@click.option(
    "--allow-route",
    "allowed_routes",
    multiple=True,
    metavar="'METHOD /PATH'",
    help=_("Another route of vLLM to open to those with the key; repeatable."),
)
@limit_options.add
@batch_options.add
@click.option(
    "--detach", is_flag=True, help=_("Run in the background; return when the server is ready.")
)
@click.option("--no-wait", is_flag=True, help=_("With --detach: return immediately."))
@click.option(
    "--print-command", is_flag=True, help=_("Print the command that would be run, and exit.")
)
@click.option(
    "--write-deploy",
    "deploy_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=_("Write systemd, Docker, nginx and Prometheus files for this server, and exit."),
)
@click.option(
    "--domain",
    metavar="NAME",
    help=_("With --write-deploy: the service's domain name (localhost)."),
)
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="URL",
    help=_("With --write-deploy: a server to balance requests over; repeatable."),
)
@click.argument("vllm_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def serve(
    command_line: tuple[str, ...],
    /,
    model: str | None,
    model_option: str | None,
    host: str,
    port: int,
    name: str | None,
    served_model_name: str | None,
    max_model_len: int | None,
    tensor_parallel_size: int | None,
    gpu_memory_utilization: float | None,
    gpus: int | None,
    yarn: bool,
    force: bool,
    key_file: Path | None,
    generate_key: bool,
    allowed_origins: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    stall_timeout: float | None,
    idle_stop: float | None,
    allowed_routes: tuple[str, ...],
    detach: bool,
    no_wait: bool,
    print_command: bool,
    deploy_folder: Path | None,
    domain: str | None,
    workers: tuple[str, ...],
    vllm_options: tuple[str, ...],
    **more_values: Any,
) -> int:
    """Build the options, plan, and start the server or print the plan. Raises `QchatError`."""
    from ..settings import Paths
    from .access.routes import parse_route
    from .planning.options import DeployOptions, ServeOptions

    if model is not None and model.startswith("-"):  # click took the first argument after the --
        vllm_options, model = (model, *vllm_options), None
    if model is not None and model_option is not None:
        raise UsageError(_("MODEL is given twice."))
    if no_wait and not detach:
        raise UsageError(_("--no-wait needs --detach."))
    if deploy_folder is None and (domain is not None or workers):
        raise UsageError(_("--domain and --worker need --write-deploy."))
    if deploy_folder is not None and (detach or print_command):
        text = _("--write-deploy starts nothing: use it without --detach and --print-command.")
        raise UsageError(text)
    if generate_key and key_file is not None:
        raise UsageError(_("Give --api-key-file or --generate-key, not both."))
    batches = batch_options.read(more_values)
    limits, total_limits = limit_options.read(more_values)
    paths = Paths.find()
    uses_key_dir = generate_key and deploy_folder is None
    options = ServeOptions(
        model=model or model_option,
        host=host,
        port=port,
        name=name,
        served_model_name=served_model_name,
        tensor_parallel_size=tensor_parallel_size,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization,
        gpus=gpus,
        yarn=yarn,
        force=force,
        key_file=key_file,
        generated_key_dir=paths.config / "keys" if uses_key_dir else None,
        allowed_origins=allowed_origins,
        allowed_hosts=allowed_hosts,
        stall_timeout=stall_timeout,
        idle_stop=idle_stop or None,  # 0 for never
        limits=limits,
        total_limits=total_limits,
        allowed_routes=tuple(map(parse_route, allowed_routes)),
        batches=batches,
        passthrough_args=vllm_options,
        command_line=command_line,
    )
    if deploy_folder is not None:
        deploy = DeployOptions(deploy_folder, domain or "localhost", workers, generate_key)
        _write_deploy(options, deploy)
        return Exit.OK
    plan = _make_plan(options)
    if print_command:
        for note in (*plan.notes, _launcher_note(plan)):
            click.echo(note, err=True)
        click.echo(plan.shell_command())
        return Exit.OK
    _check_vllm()
    return _start(plan, paths, generate_key=generate_key, detach=detach, wait=not no_wait)


def _write_deploy(options: "ServeOptions", deploy: "DeployOptions") -> None:
    import contextlib
    import os

    from ..engine.runtime.vllm_startup import installed_vllm
    from ..errors import EngineError
    from . import write_deploy
    from .planning.target_machine import target_machine

    # The machine in front of workers runs no model.
    cpu = bool(deploy.workers) or installed_vllm().cpu
    machine = None
    if not deploy.workers:
        with contextlib.suppress(EngineError):  # the files may be for a machine that has the GPU
            machine = target_machine(cpu)
    write_deploy.write(options, deploy, machine, gpu=not cpu, environ=os.environ)


def _make_plan(options: "ServeOptions") -> "ServePlan":
    import os

    from ..engine.runtime.vllm_startup import installed_vllm
    from .planning.plan import make_plan
    from .planning.target_machine import target_machine

    machine = target_machine(cpu=installed_vllm().cpu)
    return make_plan(options, machine, os.environ, ask_hub=True)


def _launcher_note(plan: "ServePlan") -> str:
    """Return what the launcher passes to vLLM besides the arguments of the command."""
    import os
    import shlex

    from ..engine.runtime.vllm_startup import installed_vllm, one_process, variables
    from .launcher import MIDDLEWARE, ONE_PROCESS, added_options, eager_options
    from .planning.passthrough_args import option_names, to_arguments

    installed, given = installed_vllm(), option_names(plan.vllm_args)
    in_one_process = one_process(installed, given)
    options = added_options(MIDDLEWARE) | (ONE_PROCESS if in_one_process else {})
    options |= eager_options(installed.cpu, given)
    environ = {**os.environ, **dict(plan.environment)}
    new = variables(environ, in_one_process=in_one_process)
    text = _("The launcher adds {options}, and to the environment {variables}.")
    return text.format(
        options=shlex.join(to_arguments(options)),
        variables=" ".join(f"{name}={shlex.quote(value)}" for name, value in new.items()),
    )


def _check_vllm() -> None:
    """Warn once of a version that was not tested. Raises `EngineError` for one that can't do."""
    from ..engine.runtime.vllm_entry_points import Use
    from ..engine.runtime.vllm_startup import check_version, installed_vllm

    warning = check_version(installed_vllm(), Use.SERVE)
    if warning is not None:
        click.echo(_("Warning: {warning}").format(warning=warning), err=True)


def _start(
    plan: "ServePlan", paths: "Paths", *, generate_key: bool, detach: bool, wait: bool
) -> int:
    from .access import keys
    from .processes import ports
    from .registry.records import ServerRegistry, already_runs
    from .supervision import attached, detached

    registry = ServerRegistry(paths)
    registry.sweep()
    if registry.is_locked(plan.name):
        raise UsageError(already_runs(plan.name, registry.read(plan.name)))
    ports.check(plan.host, plan.port)
    if generate_key and keys.generate_file(key_file := Path(plan.key_source)):
        click.echo(_("Generated a key: {file}").format(file=key_file), err=True)
    for note in plan.notes:
        click.echo(note, err=True)
    # The command itself is several lines of what few people want to see.
    text = _("The command for vLLM: {command}")
    click.echo(text.format(command=plan.retry_command("--print-command")), err=True)
    if detach:
        return detached.run_detached(plan, registry, wait=wait)
    return attached.run_attached(plan, registry)
