"""The files of `qchat serve --write-deploy`: the templates of deploy/, filled for one server.

Nothing is written here. A template is a file in which ``@@name@@`` stands for a value; a file
without one, such as a script, is taken as it is.
"""

import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from ..i18n import _
from . import access
from . import supervisor as supervise
from .plan import ServeOptions, ServePlan

TEMPLATES = Path(__file__).parent / "deploy"
NOBODY = 10001  # who runs in the containers where root writes the files
_STOP = int(supervise.PATIENCE) + 20  # seconds: to end vLLM, to kill the rest, to tidy up
_MARK = re.compile(r"@@([a-z_]+)@@")
_ROUTER_JOB = """\
  - job_name: vllm-router
    static_configs:
      - targets: ["127.0.0.1:29000"]
"""
# Under which name a template is written, where it isn't its own.
_NAMES = {"README.router.md": "README.md", "compose/env": "compose/.env"}
_IN_FRONT_ONLY = {"README.router.md", "vllm-router.service"}
_OF_A_SERVER_ONLY = {"README.md", "qchat.service"}
_IN_COMPOSE, _TOO = "compose/", ("nginx.conf", "prometheus.yml")

TOO_MANY = access.Denial(429, "rate_limit_exceeded", "Too many requests; wait and try again.")
STARTING = access.Denial(503, "server_not_ready", "The server is starting, or is not there.")
TOO_SLOW = access.Denial(504, "timeout", "The server gave no answer in time.")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to be deployed: `plan` was made for this machine from `order`.

    `keys` is the file of keys, `made` whether it is written with the rest. With `workers` (URLs of
    servers) it is the machine in front of them. `source` is a checkout of qchat, if this is one.
    """

    plan: ServePlan
    order: ServeOptions
    folder: Path
    domain: str
    workers: tuple[str, ...]
    keys: Path
    made: bool
    gpu: bool
    source: Path | None
    uid: int

    @property
    def model_folder(self) -> Path | None:
        """The folder of a model that is none of the hub's."""
        return path if (path := Path(self.plan.model)).is_absolute() else None

    def words(self, model: str, host: str, keys: str) -> list[str]:
        """The arguments of ``qchat`` that start this server."""
        plan, order = self.plan, self.order
        found = ["serve", model, "--name", plan.name, "--served-model-name", plan.served_name]
        found += ["--host", host, "--port", str(plan.port), "--api-key-file", keys]
        for name in ("max_model_len", "tensor_parallel_size", "gpu_memory_utilization"):
            value = getattr(order, name)
            if value is not None:
                found += [f"--{name.replace('_', '-')}", str(value)]
        found += ["--yarn"] if order.yarn else []
        for origin in order.origins:
            found += ["--allowed-origin", origin]
        for one in order.hosts:
            found += ["--allowed-host", one]
        return [*found, "--", *order.extra] if order.extra else found


def files(deployment: Deployment) -> dict[str, str]:
    """Paths below the folder, and the text of each."""
    values = _values(deployment)
    inside = values | {
        "upstream": f"qchat:{deployment.plan.port}",
        "targets": json.dumps([f"qchat:{deployment.plan.port}"]),
        "access_log": "/dev/stdout",  # nothing else can be written there
    }
    found = {}
    for path in sorted(TEMPLATES.rglob("*")):
        name = path.relative_to(TEMPLATES).as_posix()
        if not path.is_file() or "__pycache__" in name or not _fits(name, deployment):
            continue
        text = path.read_text("utf-8")
        found[_NAMES.get(name, name)] = fill(text, values)
        if name in _TOO and not deployment.workers:
            found[_IN_COMPOSE + name] = fill(text, inside)
    return found


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with the values in it; what is no value's name stays as it is."""
    return _MARK.sub(lambda found: values.get(found[1], found[0]), text)


def _fits(name: str, deployment: Deployment) -> bool:
    if deployment.workers:
        return name not in _OF_A_SERVER_ONLY and not name.startswith(_IN_COMPOSE)
    return name not in _IN_FRONT_ONLY and (deployment.gpu or name != "compose/compose.gpu.yaml")


def _values(one: Deployment) -> dict[str, str]:
    plan = one.plan
    model = one.model_folder
    inside = one.words(
        "/model" if model else plan.model,
        "0.0.0.0",  # noqa: S104
        "/run/secrets/keys",
    )
    volumes = ["cache:/cache", *([f"{model}:/model:ro"] if model else [])]
    address = f"127.0.0.1:{plan.port}" if one.workers else plan.url.removeprefix("http://")
    targets = [worker.partition("://")[2] for worker in one.workers] or [address]
    https = "    scheme: https\n" if one.workers and one.workers[0].startswith("https:") else ""
    return {
        "name": plan.name,
        "model": plan.model,
        "host": plan.host,
        "port": str(plan.port),
        "domain": one.domain,
        "folder": str(one.folder),
        "python": sys.executable,
        "keys": shlex.quote(str(one.keys)),
        "about_keys": _about_keys(one),
        "allowed": allowed(bool(one.order.origins)),
        "upstream": address,
        "access_log": "/var/log/nginx/qchat.log",
        "most_bytes": str(one.order.most_bytes),
        **{
            name: denial.body().decode()
            for name, denial in (
                ("not_found", access.NOT_FOUND),
                ("too_large", access.too_large(one.order.most_bytes)),
                ("too_many", TOO_MANY),
                ("starting", STARTING),
                ("too_slow", TOO_SLOW),
            )
        },
        "exec": unit_line(
            [
                *(sys.executable, "-m", "qchat"),
                *one.words(plan.model, plan.host, "${CREDENTIALS_DIRECTORY}/keys"),
            ]
        ),
        "keys_unit": str(one.keys).replace("%", "%%"),
        "patience": f"{supervise.PATIENCE:.0f}",
        "stop": str(_STOP),
        "protect_home": "read-only" if in_a_home(model) else "yes",
        "private_devices": "no" if one.gpu else "yes",
        "command": yaml(inside),
        "volumes": yaml(volumes),
        "dockerfile": yaml(str(one.folder / "compose" / "Dockerfile")),
        "keys_compose": yaml(str(one.keys)),
        "compose_files": "compose.yaml:compose.gpu.yaml" if one.gpu else "compose.yaml",
        "source": "" if one.source is None else str(one.source),
        "uid": str(one.uid),
        "workers": unit_line(list(one.workers)),
        "worker_list": "\n".join(f"- {worker}" for worker in one.workers),
        "targets": json.dumps(targets),
        "router_job": https + _ROUTER_JOB if one.workers else "",
    }


def allowed(origins: bool) -> str:
    """The access layer's list as lines of nginx's map; with `origins` the questions that a browser
    asks before it asks are on it. Not /metrics.

    All of them as patterns: nginx compares plain text without regard to case."""
    listed = [(method, re.escape(path)) for method, path in access.OPEN | access.WITH_KEY]
    listed += [(method, pattern.pattern) for method, pattern in access.BY_ID]
    if origins:
        listed += [("OPTIONS", path) for _method, path in listed]
    return "\n".join(f'    "~^{method} {path}$" 1;' for method, path in sorted(set(listed)))


def unit_line(words: list[str]) -> str:
    """A command for ExecStart=, by systemd's rules of quoting. ``${CREDENTIALS_DIRECTORY}`` alone
    is left to be filled in by systemd."""
    found = []
    for word in words:
        known = "${CREDENTIALS_DIRECTORY}"
        rest = word.removeprefix(known)
        text = rest.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        text = text.replace("\n", "\\n").replace("\t", "\\t")
        text = (known if word != rest else "") + text
        plain = re.fullmatch(r"[A-Za-z0-9_@%+=:,./${}-]+", text)
        found.append(text if plain else f'"{text}"')
    return " ".join(found)


def yaml(value: str | list[str]) -> str:
    """A value for a compose file: JSON, which is YAML, with ``$`` as compose wants it."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def in_a_home(model: Path | None) -> bool:
    """Whether Python, qchat or the model's folder is where ProtectHome=yes hides it."""
    paths = [Path(sys.executable), Path(__file__), *([model] if model else [])]
    paths += [path.resolve() for path in paths]  # the Python of a .venv is a link
    homes = ("/home", "/root", "/run/user")
    return any(path.is_relative_to(home) for path in paths for home in homes)


def _about_keys(one: Deployment) -> str:
    if one.made:
        text = _("They are made: {keys} has one for you (client) and one for Prometheus. More:")
    else:
        text = _("The server's keys are expected in {keys}.")
    return text.format(keys=f"`{one.keys}`")
