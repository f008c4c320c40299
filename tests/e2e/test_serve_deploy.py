"""The written files around a real `qchat serve`: nginx before it, Prometheus asking it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.processes import process_tree

from qchat import demo
from tests.faults import running
from tests.nginx import Front, listens, nginx

from .servers import ALICE, BOB, Home, ask, free_port

pytestmark = pytest.mark.vllm

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"
QUERY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CHAT = {
    "model": "Qwen3-32B",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 50,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def files(served: tuple[Home, int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written for the running server."""
    home, port, keys = served
    folder = tmp_path_factory.mktemp("deploy") / "files"
    arguments = ["serve", "demo", "--served-model-name", "Qwen3-32B", "--port", str(port)]
    done = home.run(*arguments, "--api-key-file", str(keys), "--write-deploy", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def front(files: Path) -> Iterator[Front]:
    with nginx(files.parent / "nginx", (files / "nginx.conf").read_text("utf-8")) as running_nginx:
        yield running_nginx


@pytest.mark.needs_tool("nginx", "openssl")
def test_nginx_passes_on_what_the_server_answers(front: Front) -> None:
    key = {"Authorization": f"Bearer {BOB}", "Content-Type": "application/json"}
    assert front.ask("GET", "/health")[0] == 200
    assert front.ask("GET", "/v1/models")[0] == 401
    assert front.ask("GET", "/metrics", **key)[0] == 404
    status, _headers, text = front.ask("GET", "/v1/models", **key)
    assert status == 200 and json.loads(text)["data"][0]["id"] == "Qwen3-32B"
    body = json.dumps({**CHAT, "stream": True})
    status, headers, text = front.ask("POST", "/v1/chat/completions", body, **key)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert text.count("data: {") > 3 and text.endswith("data: [DONE]\n\n")


@pytest.mark.needs_tool("nginx", "openssl")
def test_a_program_of_the_guide_goes_through_tls(front: Front) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QCHAT_")}
    done = subprocess.run(
        [sys.executable, str(CLIENTS / "chat_requests.py")],
        env={
            **inherited,
            "QCHAT_BASE_URL": f"https://localhost:{front.port}",
            "QCHAT_API_KEY": BOB,
            "REQUESTS_CA_BUNDLE": str(front.certificate),
            "NO_PROXY": "localhost",
            "no_proxy": "localhost",
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = next(pair.content for pair in demo.pairs() if pair.id == "guide-quantum")
    assert done.stdout.strip() == answer.strip()


def queries(board: Path) -> list[str]:
    """The queries of the dashboard, with its variables filled in as Grafana does it."""
    panels = json.loads(board.read_text("utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    return [q.replace("$__rate_interval", "1m").replace("$instance", ".*") for q in expressions]


def prometheus_says(port: int, query: str) -> list[Any]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with QUERY.open(url, timeout=5) as answer:
            result: list[Any] = json.load(answer)["data"]["result"]
            return result
    except urllib.error.HTTPError as error:
        assert error.code == 503, error.read()
    except OSError:
        pass
    return []  # it is starting


@pytest.mark.needs_tool("prometheus")
def test_prometheus_reads_the_server_and_the_dashboard_has_something_to_draw(
    files: Path, served: tuple[Home, int, Path], tmp_path: Path
) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(files / name, tmp_path)
    (tmp_path / "prometheus.key").write_text(f"{ALICE}\n")
    settings = tmp_path / "prometheus.yml"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("interval: 15s", "interval: 200ms"), "utf-8")
    assert settings.read_text("utf-8") != text
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        missing = [*queries(files / "grafana-dashboard.json"), 'up{job="qchat"} == 1']
        deadline = time.monotonic() + 60
        while missing := [query for query in missing if not prometheus_says(port, query)]:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, missing
            assert ask(served[1], "POST", "/v1/chat/completions", ALICE, CHAT)[0] == 200
            time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(30)


def test_the_alerts_go_by_names_that_the_server_has(
    files: Path, served: tuple[Home, int, Path]
) -> None:
    used = set(re.findall(r"([a-z_:]+)\{job=", (files / "alerts.yml").read_text("utf-8")))
    assert len(used) == 6
    # A counter with labels appears with its first request, so one has to be sent.
    assert ask(served[1], "POST", "/v1/chat/completions", ALICE, CHAT)[0] == 200
    missing = used - {"up"}  # Prometheus' own
    deadline = time.monotonic() + 20
    while missing:
        assert time.monotonic() < deadline, missing
        status, text = ask(served[1], "GET", "/metrics", ALICE)
        assert status == 200
        missing -= set(re.findall(r"^([a-z_:]+)[{ ]", text, re.MULTILINE))
        time.sleep(0.1)


@pytest.mark.needs_tool("curl")
def test_doctor_and_the_script_find_nothing_wrong(served: tuple[Home, int, Path]) -> None:
    home, port, file = served
    done = home.run("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    findings = [finding for finding in findings if finding["section"] == "server:demo"]
    assert {finding["level"] for finding in findings} == {"ok"}, findings
    assert [finding["check"] for finding in findings] == [
        "health",
        "key_needed",
        "models",
        "chat",
        "stream",
    ]
    script = Path(process_tree.__file__).parents[1] / "deploy" / "check-service.sh"
    arguments = ["sh", str(script), "-k", str(file), f"http://localhost:{port}"]
    checked = subprocess.run(
        arguments, env=home.environ, capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.endswith("All is well.\n"), checked.stdout
    assert "It offers: Qwen3-32B" in checked.stdout


@pytest.mark.needs_tool("vllm-router")
def test_the_router_spreads_requests_over_servers(tmp_path: Path) -> None:
    """The line of the unit, started by hand: its words are those that this router knows."""
    home = Home(tmp_path / "home")
    port, metrics = free_port(), free_port()
    with running(api_key=ALICE) as one, running(api_key=ALICE) as two:
        workers = ["--worker", one.url, "--worker", two.url]
        arguments = [
            "serve",
            "demo",
            "--port",
            str(port),
            "--write-deploy",
            str(tmp_path / "files"),
        ]
        done = home.run(*arguments, *workers)
        assert done.returncode == 0, done.stderr
        unit = (tmp_path / "files" / "vllm-router.service").read_text("utf-8")
        line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        command = line.replace("29000", str(metrics)).replace("cache_aware", "round_robin").split()
        log = tmp_path / "log"
        with log.open("wb") as out:
            router = subprocess.Popen(
                ["vllm-router", *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            deadline = time.monotonic() + 60
            while not listens(port) or ask(port, "GET", "/health")[0] != 200:
                assert router.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            body = {**CHAT, "model": "demo"}
            assert ask(port, "POST", "/v1/chat/completions", BOB, body)[0] == 401
            for _n in range(4):
                status, reply = ask(port, "POST", "/v1/chat/completions", ALICE, body)
                assert status == 200, reply
            assert one.log.answered and two.log.answered
        finally:
            router.terminate()
            router.wait(30)
