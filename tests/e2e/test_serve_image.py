"""The image of `--write-deploy`: built and started where Docker runs; its command without it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qchat.processes import alive, kill_processes, process_family
from tests.serve.deploying import compose_file

from .servers import READY, Home, ask, free_port

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

BUILD = 1800.0  # seconds for an image: it installs vLLM


class Service:
    """The written files of a server of the demo model, with a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.port = free_port()
        self.folder = folder / "service"
        arguments = ["serve", "demo", "--port", str(self.port), "--generate-key"]
        done = self.home.run(*arguments, "--write-deploy", str(self.folder))
        assert done.returncode == 0, done.stderr
        content = compose_file(self.folder)
        self.settings: dict[str, Any] = content["services"]["qchat"]
        self.key_file = Path(content["secrets"]["keys"]["file"])
        self.key = self.key_file.read_text().split()[-1]

    def check_answer(self) -> None:
        """Check that it answers with its key, and not without."""
        assert ask(self.port, "GET", "/v1/models")[0] == 401
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        status, answer = ask(self.port, "POST", "/v1/chat/completions", self.key, body)
        assert status == 200 and answer["usage"]["completion_tokens"] > 0


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_the_command_of_the_image_without_docker(service: Service, tmp_path: Path) -> None:
    """As the container has it: the command and the health check of compose.yaml, the key as a
    secret's file, another HOME; stopped by SIGTERM within the period of grace."""
    secret = tmp_path / "keys"
    shutil.copy(service.key_file, secret)
    command = [
        str(secret) if word == "/run/secrets/keys" else word for word in service.settings["command"]
    ]
    cache = tmp_path / "cache"
    cache.mkdir()
    environ = service.home.environ | {
        "HOME": str(cache),
        "QCHAT_HOME": str(cache / "qchat"),
        "XDG_CACHE_HOME": str(cache),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "qchat", *command],
        env=environ,
        cwd=cache,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    members = [process.pid]
    _cmd, _python, *check = service.settings["healthcheck"]["test"]
    try:
        deadline = time.monotonic() + READY
        while subprocess.run([sys.executable, *check], capture_output=True).returncode:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        members = process_family([process.pid])
        service.check_answer()
        process.terminate()
        grace = float(str(service.settings["stop_grace_period"]).removesuffix("s"))
        assert process.wait(grace) in (0, 143)
        assert alive(members) == []
    finally:
        kill_processes(process_family(members))
        process.wait()
    assert list(cache.rglob("*.sock")) == []


@pytest.fixture
def compose(service: Service) -> Iterator[list[str]]:
    """``docker compose`` in the folder of the service; skips where no daemon answers."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True).returncode:
        pytest.skip("no Docker daemon answers here")  # a tool can be installed, a daemon can't
    command = [docker, "compose", "--project-directory", str(service.folder / "compose")]
    yield command
    subprocess.run([*command, "down", "--volumes", "--timeout", "30"], capture_output=True)


@pytest.mark.timeout(BUILD + 600)
def test_the_image_is_built_and_serves(service: Service, compose: list[str]) -> None:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for arguments in (["build", "qchat"], ["up", "--detach", "--wait", "qchat"]):
        done = subprocess.run(
            [*compose, *arguments], env=environ, capture_output=True, text=True, timeout=BUILD
        )
        assert done.returncode == 0, done.stdout + done.stderr
    program = (
        "import json, urllib.request as u; r = u.Request('http://127.0.0.1:{port}/v1/models',"
        " headers={{'Authorization': 'Bearer ' + open('/run/secrets/keys').read().split()[-1]}});"
        " print(json.load(u.urlopen(r))['data'][0]['id'])"
    )
    done = subprocess.run(
        [*compose, "exec", "-T", "qchat", "python", "-c", program.format(port=service.port)],
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "demo", done.stderr
