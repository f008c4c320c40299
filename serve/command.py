"""`qchat serve`: start a vLLM server and look after it."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EngineError, Exit, QchatError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from ..engine.machine import Machine
    from ..settings import Paths
    from .plan import ServePlan
    from .records import ServerRecord, ServerRegistry


class _Serve(click.Command):
    """Keeps the words, so that another command can be told in the same ones."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)


@click.command(
    cls=_Serve,
    help=_(
        """Start a vLLM server for MODEL: a recipe (see qchat recipes), an id on the model hub, a
        folder, or demo for the bundled model. Without MODEL the best recipe that fits this machine.

        It listens on this machine alone and needs no key there. A public --host needs one, and so
        does a server behind a proxy on this machine: not every proxy says that it is one. What
        vLLM leaves open beside its API is closed. Options after -- go to vLLM as they are.
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
  qchat serve Qwen3-32B --write-deploy ./service --domain llm.example.com --generate-key
"""
    ),
)
@click.argument("model", required=False)
@click.option("--model", "model_option", metavar="MODEL", help=_("The same as the argument."))
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help=_("Where to listen."))
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help=_("The port (8000)."))
@click.option("--name", metavar="NAME", help=_("What status, logs and stop call this server."))
@click.option("--served-model-name", metavar="NAME", help=_("What requests call the model."))
@click.option("--max-model-len", type=click.IntRange(1), metavar="N", help=_("Tokens of context."))
@click.option(
    "--tensor-parallel-size", type=click.IntRange(1), metavar="N", help=_("GPUs to share it by.")
)
@click.option(
    "--gpu-memory-utilization",
    type=click.FloatRange(0.05, 1),
    metavar="X",
    help=_("The share of a GPU's memory to take."),
)
@click.option("--yarn", is_flag=True, help=_("Stretch the context with YaRN."))
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_("Keys, a line for each (NAME KEY or KEY); taking a line away revokes it."),
)
@click.option("--generate-key", is_flag=True, help=_("Make a key in a private file and use it."))
@click.option(
    "--allowed-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help=_("A web page's origin that may ask (CORS); can be repeated."),
)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help=_("A host name to answer to besides this machine's own; can be repeated."),
)
@click.option("--detach", is_flag=True, help=_("Return when the server is ready."))
@click.option("--no-wait", is_flag=True, help=_("With --detach: return at once."))
@click.option("--print-command", is_flag=True, help=_("Print the command, start nothing."))
@click.option(
    "--write-deploy",
    "deploy",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=_("Write systemd, Docker, nginx and Prometheus files for this server; start nothing."),
)
@click.option(
    "--domain", metavar="NAME", help=_("With --write-deploy: the name of the service (localhost).")
)
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="URL",
    help=_("With --write-deploy: a server to spread requests over; can be repeated."),
)
@click.argument("vllm_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def serve(
    given: tuple[str, ...],
    /,
    model: str | None,
    model_option: str | None,
    detach: bool,
    no_wait: bool,
    print_command: bool,
    generate_key: bool,
    deploy: Path | None,
    domain: str | None,
    workers: tuple[str, ...],
    vllm_options: tuple[str, ...],
    **said: Any,
) -> int:
    """Plan, start, look after. Raises `QchatError`."""
    from ..settings import Paths
    from . import ports
    from .records import ServerRegistry, already_runs

    if model is not None and model.startswith("-"):  # click took the first word after the --
        vllm_options, model = (model, *vllm_options), None
    if model is not None and model_option is not None:
        raise UsageError(_("MODEL is given twice."))
    if no_wait and not detach:
        raise UsageError(_("--no-wait is for --detach."))
    if deploy is None and (domain is not None or workers):
        raise UsageError(_("--domain and --worker are for --write-deploy."))
    if deploy is not None:
        if detach or print_command:
            raise UsageError(_("--write-deploy starts nothing: give it alone."))
        said |= {"model": model or model_option, "extra": vllm_options}
        _write_deploy(deploy, domain or "localhost", workers, generate_key, said)
        return Exit.OK
    paths = Paths.find()
    said |= {"model": model or model_option, "extra": vllm_options, "given": given}
    plan = _plan(generate_key, paths, said)
    if print_command:
        click.echo(plan.shell())
        return Exit.OK
    store = ServerRegistry(paths)
    store.sweep()
    if store.is_held(plan.name):
        raise UsageError(already_runs(plan.name, store.read(plan.name)))
    ports.check(plan.host, plan.port)
    if generate_key:
        _generate(Path(plan.key))
    for note in plan.notes:
        click.echo(note, err=True)
    click.echo(_("$ {command}").format(command=plan.shell()), err=True)
    if detach:
        return _detached(plan, store, wait=not no_wait)
    return _attached(plan, store)


def _write_deploy(
    folder: Path, domain: str, workers: tuple[str, ...], generate_key: bool, said: dict[str, Any]
) -> None:
    from ..engine.vllm_startup import installed_vllm
    from . import plan, write_deploy

    key_file = _key_file(generate_key, said)
    cpu = bool(workers) or installed_vllm().cpu  # the machine in front runs no model
    machine = None
    if not workers:
        with contextlib.suppress(EngineError):  # the GPU may be on the machine it is written for
            machine = _machine(cpu)
    write_deploy.write(
        folder,
        plan.ServeOptions(key_file=key_file, **said),
        machine,
        domain=domain,
        workers=workers,
        generate_key=generate_key,
        gpu=not cpu,
        environ=os.environ,
    )


def _plan(generate_key: bool, paths: "Paths", said: dict[str, Any]) -> "ServePlan":
    from ..engine.vllm_startup import installed_vllm
    from . import plan

    machine = _machine(cpu=installed_vllm().cpu)
    key_file = _key_file(generate_key, said)
    folder = paths.config / "keys" if generate_key else None
    order = plan.ServeOptions(key_file=key_file, key_folder=folder, **said)
    return plan.make(order, machine, os.environ)


def _key_file(generate_key: bool, said: dict[str, Any]) -> Path | None:
    file: Path | None = said.pop("api_key_file")
    if generate_key and file is not None:
        raise UsageError(_("Give --api-key-file or --generate-key, not both."))
    return file


def _machine(cpu: bool) -> "Machine | None":
    """This machine as the vLLM here would use it; None where its GPU can't be measured."""
    from ..engine.machine import detect

    machine = detect()
    if cpu:
        return replace(machine, gpus=())
    if machine.gpus:
        return machine
    if machine.gpu_note:
        click.echo(machine.gpu_note, err=True)
        return None
    text = _(
        "This vLLM is built for GPUs, and this machine shows none. Look with nvidia-smi and qchat "
        "doctor, or install vLLM's build for the CPU."
    )
    raise EngineError(text)


def _generate(file: Path) -> None:
    """Make a key in a private file, unless it is there from before."""
    from ..settings import private_dir
    from . import keys

    if file.exists():
        return
    private_dir(file.parent)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(keys.generate() + "\n")
    except OSError as error:
        if not isinstance(error, FileExistsError):
            file.unlink(missing_ok=True)
        text = _("Can't write the key file {file}: {why}.")
        raise UsageError(text.format(file=file, why=error.strerror)) from error
    click.echo(_("Made a key: {file}").format(file=file), err=True)


def _attached(plan: "ServePlan", store: "ServerRegistry") -> int:
    from .phases import Phase, Step
    from .start_display import Display
    from .supervisor import Supervisor

    display = Display(sys.stderr, plan.model)

    def report(step: Step) -> None:
        display(step)
        if step.phase is Phase.READY:
            display.end()
            _ready(plan)

    try:
        return Supervisor(plan, store, report).run()
    finally:
        display.end()


def _detached(plan: "ServePlan", store: "ServerRegistry", wait: bool) -> int:
    """Start a supervisor of its own; wait until the server is ready, or has failed."""
    from . import records
    from .phases import LogTail, Phase, StartProgress
    from .start_display import Display

    supervisor = subprocess.Popen(
        [sys.executable, "-m", "qchat.serve.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if wait else subprocess.DEVNULL,
        start_new_session=True,
    )
    assert supervisor.stdin is not None
    supervisor.stdin.write(plan.to_json().encode())
    supervisor.stdin.close()
    if not wait:
        text = _("{name} is starting; see qchat status and qchat logs -f {name}.")
        click.echo(text.format(name=plan.name))
        return Exit.OK
    display = Display(sys.stderr, plan.model)
    progress, tail = StartProgress(), None
    display(progress.step)
    try:
        while True:
            ended = supervisor.poll() is not None
            record = store.read(plan.name)
            if record is not None and record.supervisor == supervisor.pid:
                tail = tail or LogTail(Path(record.log))
                if progress.feed(tail.lines()) and progress.step.phase < Phase.READY:
                    display(progress.step)
                if record.state == records.READY:
                    display.end()
                    _ready(plan)
                    return Exit.OK
            if ended:
                display.end()
                raise _failed(record, supervisor)
            time.sleep(0.1)
    except KeyboardInterrupt:
        display.end()
        supervisor.terminate()
        supervisor.wait()
        raise


def _failed(record: "ServerRecord | None", supervisor: "subprocess.Popen[bytes]") -> QchatError:
    """Why a supervisor ended before its server was ready: its record, or its last words."""
    kind = UsageError if supervisor.returncode == Exit.USAGE else EngineError
    if record is not None and record.supervisor == supervisor.pid and record.message:
        return kind(record.message)
    said = supervisor.stderr.read().decode("utf-8", "replace") if supervisor.stderr else ""
    lines = said.strip().splitlines()
    return kind(
        lines[-1] if lines else _("The server's supervisor ended before the server was ready.")
    )


def _ready(plan: "ServePlan") -> None:
    from . import keys

    url = f"{plan.url}/v1"
    click.echo(_("{name} is ready at {url}").format(name=plan.served_name, url=url), err=True)
    line = f"qchat ask --base-url {url} Hello"
    if plan.key == "variable":
        line = f"qchat ask --base-url {url} --api-key-env {keys.VARIABLE} Hello"
    elif plan.key != "none":
        click.echo(_("Its keys are in {file}").format(file=plan.key), err=True)
        if not keys.is_key_alone(Path(plan.key)):
            return
        # Through the shell: on a command line others could read the key.
        key = f"QCHAT_KEY=$(cat {shlex.quote(plan.key)})"
        line = f"{key} qchat ask --base-url {url} --api-key-env QCHAT_KEY Hello"
    click.echo(_("Try: {command}").format(command=line), err=True)
