"""`qchat serve --write-deploy DIR`: write the files of a service; nothing is started."""

import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from ..engine.machine.hardware import Machine
from ..errors import UsageError
from ..i18n import _
from . import deploy_templates
from .access import keys
from .deploy_templates import Deployment
from .planning.options import DeployOptions, ServeOptions
from .planning.plan import make_plan
from .processes.argument_secrets import secret_option

KEYS, METRICS_KEY = "keys", "prometheus.key"
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*")
# Paths end up in comments, quoted strings and lists of several formats.
_PATH = re.compile(r"[^\x00-\x1f\x7f\"'`\\$:]+")


def write(
    options: ServeOptions,
    deploy: DeployOptions,
    machine: Machine | None,
    *,
    gpu: bool,
    environ: Mapping[str, str],
) -> None:
    """Write the files for `options` and print what to do next. Existing files are not changed.

    The files are for later, so the model must fit in all the memory of `machine`, whatever other
    processes use now.

    Raises `UsageError` for options that can't be served, a token among vLLM's options, names that
    can't stand in the files, and an existing file with another text; then nothing is written.
    """
    folder = deploy.folder.absolute()
    machine = None if machine is None else machine.at_rest()
    _check(options, deploy)
    deployment = _deployment(folder, options, deploy, machine, gpu, environ)
    option = secret_option(options.passthrough_args)
    if option is not None:
        text = _(
            "{option} can't be given after the -- here: everybody could read it in the files. Set "
            "a token of the model hub in the environment, as HF_TOKEN; the files say where."
        )
        raise UsageError(text.format(option=option))
    for path in (folder, deployment.keys, deployment.model_folder):
        if path is not None and not _PATH.fullmatch(str(path)):
            text = _("The path {path!r} has characters that not every file can hold; use another.")
            raise UsageError(text.format(path=str(path)))
    texts = _missing(folder, deploy_templates.render(deployment))
    private = _generate_keys(folder) if deploy.generate_key else {}
    _write_files(folder, texts, private, deployment.uid)
    for name in (*texts, *private):
        click.echo(folder / name)
    if not texts and not private:
        click.echo(_("All files exist already, with the same text."))
    for note in _notes(deployment, machine):
        click.echo(note, err=True)
    click.echo(_("\nNothing was started. Next:"))
    for command in _next_commands(deployment):
        click.echo(f"  {command}")


def _deployment(
    folder: Path,
    options: ServeOptions,
    deploy: DeployOptions,
    machine: Machine | None,
    gpu: bool,
    environ: Mapping[str, str],
) -> Deployment:
    # The service will have keys, whatever is set in this shell: nothing is refused for want of one.
    environ = {k: v for k, v in environ.items() if k not in (keys.VARIABLE, "VLLM_API_KEY")}
    plan = make_plan(replace(options, host="127.0.0.1", batches=None), machine, environ)
    source = Path(__file__).absolute().parent.parent
    is_checkout = (source / "requirements" / "cpu.txt").is_file()
    return Deployment(
        plan=replace(plan, host=options.host),
        options=options,
        deploy=deploy,
        folder=folder,
        keys=folder / KEYS if options.key_file is None else options.key_file.absolute(),
        gpu=gpu,
        source=source if is_checkout else None,
        uid=os.getuid() or deploy_templates.CONTAINER_UID,
    )


def _missing(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    """Return the files that do not exist. Raises `UsageError` where one has another text."""
    existing = [name for name in texts if os.path.lexists(folder / name)]
    changed = [name for name in existing if not _has_text(folder / name, texts[name])]
    if changed:
        text = _(
            "{folder} has other versions of {files}, and nothing is overwritten. Move them away, "
            "or name another folder and compare."
        )
        raise UsageError(text.format(folder=folder, files=", ".join(changed)))
    return {name: text for name, text in texts.items() if name not in existing}


def _has_text(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _generate_keys(folder: Path) -> dict[str, str]:
    """Return the key files to write: one for clients, one for Prometheus. Existing ones stay."""
    existing = [name for name in (KEYS, METRICS_KEY) if os.path.lexists(folder / name)]
    if len(existing) == 1:
        text = _("{file} exists already: omit --generate-key, or move it away.")
        raise UsageError(text.format(file=folder / existing[0]))
    if existing:
        click.echo(_("The existing keys are kept."), err=True)
        return {}
    metrics = keys.generate()
    return {
        KEYS: f"client {keys.generate()}\nprometheus {metrics}\n",
        METRICS_KEY: f"{metrics}\n",
    }


def _check(options: ServeOptions, deploy: DeployOptions) -> None:
    if not _DOMAIN.fullmatch(deploy.domain):
        raise UsageError(_("{name!r} is not a domain name.").format(name=deploy.domain))
    _check_workers(deploy.workers)
    if deploy.workers and deploy.generate_key:
        text = _("The keys belong to the servers: generate them there, not with --worker.")
        raise UsageError(text)
    if deploy.workers and options.model is None:
        raise UsageError(_("Name the MODEL that the --worker servers have."))


def _check_workers(workers: tuple[str, ...]) -> None:
    schemes = set()
    for worker in workers:
        try:
            parts = urlsplit(worker)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        schemes.add(parts.scheme)
        is_plain = re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", worker)
        if is_plain is None or not port or not parts.hostname:
            text = _("--worker must have the form http://HOST:PORT; {url!r} does not.")
            raise UsageError(text.format(url=worker))
    if len(schemes) > 1:
        raise UsageError(_("Use https for all of the --worker URLs, or for none."))
    if len(set(workers)) < len(workers):
        raise UsageError(_("A --worker is given twice."))


def _write_files(folder: Path, texts: dict[str, str], private: dict[str, str], uid: int) -> None:
    """Write all files, or none."""
    written: list[Path] = []
    owner = uid if os.getuid() == 0 else -1  # the user in the containers reads the keys
    try:
        for name, text in (texts | private).items():
            path = folder / name
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
                if path.parent != folder:
                    path.parent.chmod(0o755)
            mode = 0o600 if name in private else 0o755 if name.endswith(".sh") else 0o644
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as output:
                output.write(text)
                if name in private:
                    os.fchown(descriptor, owner, -1)
                else:  # whatever the umask: the user in the containers reads it
                    os.fchmod(descriptor, mode)
        if (folder / "compose").is_dir():
            data = folder / "compose" / "prometheus-data"
            data.mkdir(mode=0o700, exist_ok=True)
            os.chown(data, owner, -1)
    except OSError as error:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        text = _("Can't write {file}: {reason}.")
        failed = error.filename or folder
        raise UsageError(text.format(file=failed, reason=_(error.strerror))) from error


def _notes(deployment: Deployment, machine: Machine | None) -> list[str]:
    notes = list(deployment.plan.notes)
    if deployment.deploy.workers:
        return notes
    if machine is None:
        text = _("Whether the model fits is unknown: no GPU of this machine can be measured.")
    else:
        text = _(
            "The fit was computed for {machine} with nothing else running. The server checks again "
            "when it starts, on this or another machine."
        ).format(machine=machine.description)
    notes.append(text)
    if deploy_templates.in_a_home(deployment.model_folder):
        text = _(
            "Python, qchat or the model is in a home directory, which the service's own user may "
            "not be able to read: install qchat in /opt for it."
        )
        notes.append(text)
    if deployment.source is None:
        notes.append(_("The image is built from qchat's source: set its path in compose/.env."))
    if not deployment.keys.exists():
        text = _("There are no keys yet in {file}: README.md says how to create them.")
        notes.append(text.format(file=deployment.keys))
    return notes


def _next_commands(deployment: Deployment) -> list[str]:
    """Return three shell commands; the README has the rest."""
    folder = shlex.quote(str(deployment.folder))
    unit = "vllm-router" if deployment.deploy.workers else "qchat"
    enable = f"sudo cp {folder}/{unit}.service /etc/systemd/system/"
    enable += f" && sudo systemctl enable --now {unit}"
    nginx = f"sudo cp {folder}/nginx.conf /etc/nginx/conf.d/qchat.conf && sudo nginx -t"
    return [f"less {folder}/README.md", enable, nginx]
