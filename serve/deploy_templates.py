"""The files of `qchat serve --write-deploy`: the templates of deploy/, filled in for one server.

Nothing is written here. In a template ``@@name@@`` stands for a value; a file without one, such as
a script, is copied unchanged.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..i18n import LANGUAGES, _, language
from . import deploy_language
from .access import batch_routes, denials, routes
from .access.batch_handover import MAX_FORM_BYTES
from .planning.batch_options import BatchOptions
from .planning.options import DeployOptions, ServeOptions
from .planning.plan import ServePlan
from .supervision import supervisor

TEMPLATES = Path(__file__).parent / "deploy"
CONTAINER_UID = 10001  # runs in the containers when root writes the files
_STOP_SECONDS = int(supervisor.STOP_TIMEOUT) + 20  # to end vLLM, kill the rest and clean up
_PLACEHOLDER = re.compile(r"@@([a-z_]+)@@")
_ROUTER_JOB = """\
  - job_name: vllm-router
    static_configs:
      - targets: ["127.0.0.1:29000"]
"""
_FILES = """\
    # {comment}
    location = /v1/files {{
        if ($qchat_allowed = 0) {{
            return 404;
        }}
        client_max_body_size {most_bytes};
        proxy_request_buffering off;
        proxy_pass http://qchat;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host 127.0.0.1;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto https;
        proxy_buffering off;
        proxy_connect_timeout 5s;
        proxy_send_timeout 60s;
        proxy_read_timeout 600s;
        proxy_next_upstream off;
    }}
"""
_UNIT_KEYS = "${QCHAT_KEYS}"  # a folder that the unit names
# By root, into a folder of root's: in one of the service's own, it could have a link lie in wait.
# The owner of the service's folder is its user, which systemd may have made for this run.
_COPY_KEYS = (
    "umask 077; d=/run/%N-keys; mkdir -p $$d; chmod 711 $$d; "
    'install -m 400 -o "$$(stat -Lc %%u /run/%N)" "{keys}" $$d/new; mv -f $$d/new $$d/keys'
)
_RENAMED = {"README.router.md": "README.md", "compose/env": "compose/.env"}
_ROUTER_ONLY = {"README.router.md", "vllm-router.service"}
_SERVER_ONLY = {"README.md", "qchat.service"}
_COMPOSE = "compose/"
_ALSO_IN_COMPOSE = ("nginx.conf", "prometheus.yml")

TOO_MANY = denials.Denial(429, "rate_limit_exceeded", "Too many requests; retry later.")
STARTING = denials.Denial(503, "server_not_ready", "The server is starting, or is not running.")
TOO_SLOW = denials.Denial(504, "timeout", "The server did not answer in time.")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service to deploy: `plan` was made from `options` for this machine.

    `keys` is the key file, `source` a checkout of qchat, if this is one, and `uid` the user that
    runs in the containers.
    """

    plan: ServePlan
    options: ServeOptions
    deploy: DeployOptions
    folder: Path
    keys: Path
    gpu: bool
    source: Path | None
    uid: int

    @property
    def model_folder(self) -> Path | None:
        """The folder of a local model; None for one of the Hugging Face hub."""
        return path if (path := Path(self.plan.model)).is_absolute() else None

    def serve_command(self, model: str, host: str, keys: str) -> list[str]:
        """Return the arguments of ``qchat`` that start this server."""
        options = replace(
            self.options,
            model=model,
            host=host,
            name=self.plan.name,
            served_model_name=self.plan.served_name,
            key_file=Path(keys),
        )
        return ["serve", *options.to_arguments()]


def render(deployment: Deployment) -> dict[str, str]:
    """Return the text of each file, by its path below the folder."""
    values = _values(deployment)
    container_values = values | {
        "upstream": f"qchat:{deployment.plan.port}",
        "targets": json.dumps([f"qchat:{deployment.plan.port}"]),
        "access_log": "/dev/stdout",  # the container's file system is read-only
    }
    texts = {}
    for path in sorted(TEMPLATES.rglob("*")):
        name = path.relative_to(TEMPLATES).as_posix()
        is_translation = any(name.endswith(f".{one}.md") for one in LANGUAGES)
        if not path.is_file() or "__pycache__" in name or is_translation:
            continue
        if not _is_for(name, deployment):
            continue
        text = deploy_language.translate(name, _in_language(path).read_text("utf-8"), _)
        texts[_RENAMED.get(name, name)] = fill(text, values)
        if name in _ALSO_IN_COMPOSE and not deployment.deploy.workers:
            texts[_COMPOSE + name] = fill(text, container_values)
    return texts


def _in_language(path: Path) -> Path:
    """Return the file's translation, such as README.zh_CN.md, where there is one."""
    translation = path.with_suffix(f".{language()}{path.suffix}")
    return translation if translation.is_file() else path


def fill(text: str, values: dict[str, str]) -> str:
    """Return `text` with the placeholders replaced; unknown ones stay."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _is_for(name: str, deployment: Deployment) -> bool:
    if deployment.deploy.workers:
        return name not in _SERVER_ONLY and not name.startswith(_COMPOSE)
    return name not in _ROUTER_ONLY and (deployment.gpu or name != "compose/compose.gpu.yaml")


def _values(deployment: Deployment) -> dict[str, str]:
    plan = deployment.plan
    options, workers = deployment.options, deployment.deploy.workers
    model = deployment.model_folder
    container_command = deployment.serve_command(
        "/model" if model else plan.model,
        "0.0.0.0",  # noqa: S104
        "/run/secrets/keys",
    )
    volumes = ["cache:/cache", *([f"{model}:/model:ro"] if model else [])]
    address = f"127.0.0.1:{plan.port}" if workers else plan.url.removeprefix("http://")
    targets = [worker.partition("://")[2] for worker in workers] or [address]
    https = "    scheme: https\n" if workers and workers[0].startswith("https:") else ""
    return {
        "name": plan.name,
        "model": plan.model,
        "host": plan.host,
        "port": str(plan.port),
        "domain": deployment.deploy.domain,
        "folder": str(deployment.folder),
        "python": sys.executable,
        "keys": shlex.quote(str(deployment.keys)),
        "about_keys": _about_keys(deployment),
        "allowed": allowed(
            bool(options.allowed_origins),
            options.allowed_routes,
            batches=options.batches is not None,
        ),
        "files": _files_location(options.batches),
        "upstream": address,
        "access_log": "/var/log/nginx/qchat.log",
        "most_bytes": str(options.max_body_bytes),
        **{
            name: denial.body().decode()
            for name, denial in (
                ("not_found", denials.NOT_FOUND),
                ("too_large", denials.too_large(options.max_body_bytes)),
                ("too_many", TOO_MANY),
                ("starting", STARTING),
                ("too_slow", TOO_SLOW),
            )
        },
        "exec": unit_line(
            [
                *(sys.executable, "-m", "qchat"),
                *deployment.serve_command(plan.model, plan.host, f"{_UNIT_KEYS}/keys"),
            ]
        ),
        "copy_keys": _copy_keys(deployment.keys),
        "patience": f"{supervisor.STOP_TIMEOUT + plan.shutdown_timeout:.0f}",
        "stop": str(_STOP_SECONDS + int(plan.shutdown_timeout)),
        "protect_home": "read-only" if in_a_home(model) else "yes",
        "private_devices": "no" if deployment.gpu else "yes",
        "command": yaml(container_command),
        "volumes": yaml(volumes),
        "dockerfile": yaml(str(deployment.folder / "compose" / "Dockerfile")),
        "keys_compose": yaml(str(deployment.keys)),
        "compose_files": "compose.yaml:compose.gpu.yaml" if deployment.gpu else "compose.yaml",
        "source": "" if deployment.source is None else str(deployment.source),
        "uid": str(deployment.uid),
        "workers": unit_line(list(workers)),
        "worker_list": "\n".join(f"- {worker}" for worker in workers),
        "targets": json.dumps(targets),
        "router_job": https + _ROUTER_JOB if workers else "",
    }


def _files_location(batches: BatchOptions | None) -> str:
    """Return the place of uploads, which are larger than other bodies and are passed on as they
    come; nothing without the Batch API."""
    if batches is None:
        return ""
    comment = _("Files of the Batch API are large: each piece is passed on as it comes.")
    return _FILES.format(comment=comment, most_bytes=batches.max_file_bytes + MAX_FORM_BYTES)


def allowed(origins: bool, more: Iterable[tuple[str, str]] = (), *, batches: bool = False) -> str:
    """Return the access layer's routes and `more` as lines of nginx's map, without /metrics; with
    `origins` the CORS preflight requests of browsers, too, and with `batches` the Batch API.

    All of them are patterns, because nginx compares plain strings case-insensitively.
    """
    exact = routes.OPEN | routes.WITH_KEY | set(more) | (batch_routes.LISTED if batches else set())
    allowed_routes = [(method, re.escape(path)) for method, path in exact]
    by_id = (*routes.BY_ID, *(batch_routes.BY_ID if batches else ()))
    allowed_routes += [(method, pattern.pattern) for method, pattern in by_id]
    if origins:
        allowed_routes += [("OPTIONS", path) for _method, path in allowed_routes]
    lines = [f'    "~^{method} {path}$" 1;' for method, path in sorted(set(allowed_routes))]
    return "\n".join(lines)


def unit_line(arguments: list[str]) -> str:
    """Return a command for ExecStart=, quoted for systemd, which expands only ``${QCHAT_KEYS}`` at
    the beginning of an argument."""
    quoted = []
    for argument in arguments:
        rest = argument.removeprefix(_UNIT_KEYS)
        text = rest.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        text = text.replace("\n", "\\n").replace("\t", "\\t")
        text = (_UNIT_KEYS if argument != rest else "") + text
        is_plain = re.fullmatch(r"[A-Za-z0-9_@%+=:,./${}-]+", text)
        quoted.append(text if is_plain else f'"{text}"')
    return " ".join(quoted)


def _copy_keys(keys: Path) -> str:
    return f"/bin/sh -ec '{_COPY_KEYS.format(keys=str(keys).replace('%', '%%'))}'"


def yaml(value: str | list[str]) -> str:
    """Return a value for a compose file: JSON, which is YAML, with ``$`` escaped for compose."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def in_a_home(model: Path | None) -> bool:
    """Return whether ProtectHome=yes would hide Python, qchat or the model's folder."""
    paths = [Path(sys.executable), Path(__file__), *([model] if model else [])]
    paths += [path.resolve() for path in paths]  # the Python of a .venv is a symlink
    homes = ("/home", "/root", "/run/user")
    return any(path.is_relative_to(home) for path in paths for home in homes)


def _about_keys(deployment: Deployment) -> str:
    if deployment.deploy.generate_key:
        text = _("{keys} has a generated key for you (client) and one for Prometheus. For more:")
    else:
        text = _("The server's keys are expected in {keys}.")
    return text.format(keys=f"`{deployment.keys}`")
