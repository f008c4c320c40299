"""`qchat serve --write-deploy DIR`: the files of a service, written; nothing is started."""

import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from ..engine.machine import Machine
from ..errors import UsageError
from ..i18n import _
from . import deploy_templates as filling
from . import keys, plan
from . import process_tree as tree

KEYS, METRICS_KEY = "keys", "prometheus.key"
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*")
# They end up in comments, quotes and lists of several formats: plain ones alone.
_PATH = re.compile(r"[^\x00-\x1f\x7f\"'`\\$:]+")


def write(
    folder: Path,
    order: plan.ServeOptions,
    machine: Machine | None,
    *,
    domain: str,
    workers: tuple[str, ...],
    generate_key: bool,
    gpu: bool,
    environ: Mapping[str, str],
) -> None:
    """Write the files for `order` and say what to do next. Files that are there stay as they are.

    They are for later: what fits is judged by all the memory of `machine`, whoever has it now.

    Raises `UsageError` for what can't be served, for a token among vLLM's options, for names that
    can't stand in the files, and where a file is there with another text; then nothing is written.
    """
    folder = folder.absolute()
    machine = None if machine is None else machine.at_rest()
    if not _DOMAIN.fullmatch(domain):
        raise UsageError(_("{name!r} is no domain name.").format(name=domain))
    _check(workers)
    if workers and generate_key:
        raise UsageError(_("The keys belong to the servers: make them there, not with --worker."))
    if workers and order.model is None:
        raise UsageError(_("Name the MODEL that the servers of --worker have."))
    deployment = _deployment(folder, order, machine, domain, workers, generate_key, gpu, environ)
    option = tree.secret(order.extra)
    if option is not None:
        text = _(
            "{option} can't stand after the -- here: everybody could read it in the files. Give a "
            "token of the model hub in the environment, as HF_TOKEN; the files say where."
        )
        raise UsageError(text.format(option=option))
    for path in (folder, deployment.keys, deployment.model_folder):
        if path is not None and not _PATH.fullmatch(str(path)):
            text = _("The path {path!r} has characters that not every file can hold; use another.")
            raise UsageError(text.format(path=str(path)))
    texts = _new(folder, filling.files(deployment))
    private = _keys(folder) if generate_key else {}
    _make(folder, texts, private, deployment.uid)
    for name in (*texts, *private):
        click.echo(folder / name)
    if not texts and not private:
        click.echo(_("All of it is there already, as it would be written."))
    for note in _notes(deployment, machine):
        click.echo(note, err=True)
    click.echo(_("\nNothing was started. Next:"))
    for command in _next(deployment):
        click.echo(f"  {command}")


def _deployment(
    folder: Path,
    order: plan.ServeOptions,
    machine: Machine | None,
    domain: str,
    workers: tuple[str, ...],
    generate_key: bool,
    gpu: bool,
    environ: Mapping[str, str],
) -> filling.Deployment:
    # There will be keys, whatever this shell knows of them: so no host is refused for want of one.
    environ = {k: v for k, v in environ.items() if k not in (keys.VARIABLE, "VLLM_API_KEY")}
    made = plan.make(replace(order, host="127.0.0.1"), machine, environ)
    source = Path(__file__).absolute().parent.parent
    is_checkout = (source / "requirements" / "cpu.txt").is_file()
    return filling.Deployment(
        plan=replace(made, host=order.host),
        order=order,
        folder=folder,
        domain=domain,
        workers=workers,
        keys=folder / KEYS if order.key_file is None else order.key_file.absolute(),
        made=generate_key,
        gpu=gpu,
        source=source if is_checkout else None,
        uid=os.getuid() or filling.NOBODY,
    )


def _new(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    """Those that are not there yet. Raises `UsageError` where one is there with another text."""
    there = [name for name in texts if os.path.lexists(folder / name)]
    changed = [name for name in there if not _holds(folder / name, texts[name])]
    if changed:
        text = _(
            "In {folder} there are other versions of {files}, and nothing is overwritten. Move "
            "them away, or name another folder and compare."
        )
        raise UsageError(text.format(folder=folder, files=", ".join(changed)))
    return {name: text for name, text in texts.items() if name not in there}


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _keys(folder: Path) -> dict[str, str]:
    """New keys: one for clients, one for Prometheus. Those that are there stay."""
    there = [name for name in (KEYS, METRICS_KEY) if os.path.lexists(folder / name)]
    if len(there) == 1:
        text = _("{file} is there already: leave out --generate-key, or move it away.")
        raise UsageError(text.format(file=folder / there[0]))
    if there:
        click.echo(_("The keys that are there stay."), err=True)
        return {}
    metrics = keys.generate()
    return {
        KEYS: f"client {keys.generate()}\nprometheus {metrics}\n",
        METRICS_KEY: f"{metrics}\n",
    }


def _check(workers: tuple[str, ...]) -> None:
    schemes = set()
    for worker in workers:
        try:
            parts = urlsplit(worker)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        schemes.add(parts.scheme)
        plain = re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", worker)
        if plain is None or not port or not parts.hostname:
            text = _("--worker is http://HOST:PORT, and {url!r} is not.")
            raise UsageError(text.format(url=worker))
    if len(schemes) > 1:
        raise UsageError(_("Either all of the --worker are https, or none."))
    if len(set(workers)) < len(workers):
        raise UsageError(_("A --worker is given twice."))


def _make(folder: Path, texts: dict[str, str], private: dict[str, str], uid: int) -> None:
    """Write all files, or none."""
    written: list[Path] = []
    owner = uid if os.getuid() == 0 else -1  # who runs in the containers reads the keys
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
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                if name in private:
                    os.fchown(descriptor, owner, -1)
                else:  # whatever the umask: others read it, such as who runs in the containers
                    os.fchmod(descriptor, mode)
        if (folder / "compose").is_dir():
            data = folder / "compose" / "prometheus-data"
            data.mkdir(mode=0o700, exist_ok=True)
            os.chown(data, owner, -1)
    except OSError as error:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        text = _("Can't write {file}: {why}.")
        where = error.filename or folder
        raise UsageError(text.format(file=where, why=error.strerror)) from error


def _notes(one: filling.Deployment, machine: Machine | None) -> list[str]:
    found = list(one.plan.notes)
    if one.workers:
        return found
    if machine is None:
        text = _("Nothing is said of what fits: no GPU of this machine can be measured.")
    else:
        text = _(
            "Judged by {machine}, as if nothing else ran on it; what the server finds when it "
            "starts, here or on another machine, counts then."
        ).format(machine=machine.description)
    found.append(text)
    if filling.in_a_home(one.model_folder):
        text = _(
            "Python, qchat or the model is in somebody's home, where the service's own user may "
            "not be let in: install qchat in /opt for it."
        )
        found.append(text)
    if one.source is None:
        found.append(_("The image is built from qchat's source: say in compose/.env where it is."))
    if not one.keys.exists():
        text = _("There are no keys yet in {file}: README.md says how to make them.")
        found.append(text.format(file=one.keys))
    return found


def _next(one: filling.Deployment) -> list[str]:
    """Three commands; the README has the rest."""
    at = shlex.quote(str(one.folder))
    unit = "vllm-router" if one.workers else "qchat"
    enable = f"sudo cp {at}/{unit}.service /etc/systemd/system/"
    enable += f" && sudo systemctl enable --now {unit}"
    nginx = f"sudo cp {at}/nginx.conf /etc/nginx/conf.d/qchat.conf && sudo nginx -t"
    return [f"less {at}/README.md", enable, nginx]
