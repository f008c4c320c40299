"""The files of `qchat serve --write-deploy`, looked at by the programs that they are for."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qchat.serve import deploy_templates

from qchat import cli
from tests import tools

from .deploying import WORKERS, compose_file, names, write

pytestmark = pytest.mark.usefixtures("machine")

ROOT = Path(__file__).resolve().parents[2]


def passes(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.needs_tool("systemd-analyze")
def test_systemd_takes_the_units() -> None:
    analyze = tools.require("systemd-analyze")
    folder = write("demo", "--generate-key")
    passes(analyze, "verify", str(folder / "qchat.service"))
    assert cli.run(["serve", "demo", "--write-deploy", "front", *WORKERS]) == 0
    unit = Path("front/vllm-router.service")
    text = unit.read_text("utf-8")
    assert "--worker-urls http://10.0.0.5:8000 http://10.0.0.6:8000\n" in text
    unit.write_text(text.replace("/opt/vllm-router/bin/vllm-router", sys.executable))
    passes(analyze, "verify", str(unit.absolute()))
    unit.write_text(text.replace("DynamicUser=yes", "DynamicUsr=yes"))  # it does look
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert "DynamicUsr" in done.stderr


@pytest.mark.needs_tool("promtool")
def test_prometheus_takes_the_configuration() -> None:
    promtool = tools.require("promtool")
    folder = write("demo", "--generate-key")
    assert "SUCCESS: 6 rules found" in passes(
        promtool, "check", "config", "prometheus.yml", folder=folder
    )
    shutil.copy(folder / "alerts.yml", folder / "compose")  # mounted beside it there
    shutil.copy(folder / "prometheus.key", folder / "compose")
    passes(promtool, "check", "config", "prometheus.yml", folder=folder / "compose")
    assert cli.run(["serve", "demo", "--write-deploy", "front", *WORKERS]) == 0
    shutil.copy(folder / "prometheus.key", "front")
    passes(promtool, "check", "config", "prometheus.yml", folder=Path("front"))
    text = Path("front/prometheus.yml").read_text()
    assert '["10.0.0.5:8000", "10.0.0.6:8000"]' in text


A = '{job="qchat", instance="a"'
ERRORS, FINE = (f'http_requests_total{A}, status="{kind}xx"}}' for kind in (5, 2))
FIRST = {
    le: f'vllm:time_to_first_token_seconds_bucket{A}, le="{le}"}}' for le in ("5", "40", "+Inf")
}

# What Prometheus sees for an hour, a minute each, when something is wrong, and when all is well.
HOURS = {
    "QchatServerDown": ({f"up{A}}}": "0x60"}, {f"up{A}}}": "1x60"}),
    "QchatServerRestarts": (
        {f"process_start_time_seconds{A}}}": "1x50 2x4 3x4 4x60"},
        {f"process_start_time_seconds{A}}}": "1x50 2x60"},
    ),
    "QchatQueueGrows": (
        {f"vllm:num_requests_waiting{A}}}": "0+1x60"},
        {f"vllm:num_requests_waiting{A}}}": "90-1x60"},
    ),
    "QchatKVCacheFull": (
        {f"vllm:kv_cache_usage_perc{A}}}": "0.99x60"},
        {f"vllm:kv_cache_usage_perc{A}}}": "0.5x60"},
    ),
    "QchatErrors": (
        {ERRORS: "0+9x60", FINE: "0+99x60"},
        {ERRORS: "0+1x60", FINE: "0+99x60"},
    ),
    "QchatSlowFirstToken": (
        {FIRST["5"]: "0x60", FIRST["40"]: "0+9x60", FIRST["+Inf"]: "0+9x60"},
        {FIRST["5"]: "0+9x60", FIRST["40"]: "0+9x60", FIRST["+Inf"]: "0+9x60"},
    ),
}


@pytest.mark.needs_tool("promtool")
@pytest.mark.parametrize("alert", HOURS)
def test_each_alert_comes_when_it_should_and_not_when_all_is_well(alert: str) -> None:
    promtool = tools.require("promtool")
    folder = write("demo")
    faulty, healthy = HOURS[alert]
    tests = [check(alert, faulty, on=True), check(alert, healthy, on=False)]
    (folder / "test.yml").write_text(json.dumps({"rule_files": ["alerts.yml"], "tests": tests}))
    passes(promtool, "test", "rules", "test.yml", folder=folder)


def test_no_alert_is_left_out() -> None:
    text = (write("demo") / "alerts.yml").read_text("utf-8")
    assert re.findall(r"alert: (\w+)", text) == list(HOURS)


def check(alert: str, series: dict[str, str], on: bool) -> dict[str, Any]:
    """A test of promtool's: whether one alert of this name, or none, is on after an hour."""
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if on else []
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'sum by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": "60m",
                "exp_samples": expected,
            }
        ],
    }


@pytest.mark.needs_tool("docker-compose")
def test_compose_takes_its_files(machine: Callable[[bool], None]) -> None:
    machine(True)
    folder = write("Qwen3-32B", "--generate-key")
    compose = tools.require("docker-compose")
    environ = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}
    done = subprocess.run(
        [compose, "config"], cwd=folder / "compose", env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    yaml = tools.require_module("yaml")
    services = yaml.safe_load(done.stdout)["services"]
    assert services["qchat"]["image"] == "qchat:gpu" and services["qchat"]["build"]["args"] == {
        "EXTRA": "gpu",
        "UID": str(os.getuid() or deploy_templates.CONTAINER_UID),
    }


def test_the_containers_are_closed_and_what_they_mount_is_there() -> None:
    folder = write("demo", "--generate-key")
    content = compose_file(folder)
    services = content["services"]
    assert [name for name, service in services.items() if "ports" in service] == [
        "nginx",
        "prometheus",
    ]
    assert services["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith(".") and source != "../tls":  # that is brought by the person
                assert (folder / "compose" / source).exists(), source
    logs = re.findall(r"access_log (\S+)", (folder / "compose" / "nginx.conf").read_text("utf-8"))
    assert logs == ["/dev/stdout"]  # the container's own disk is read-only
    assert content["secrets"]["keys"]["file"] == str(folder / "keys")
    dockerfile = (folder / "compose" / "Dockerfile").read_text()
    ignored = (folder / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists() and f"!{source}" in ignored, source
    secret = content["services"]["qchat"]["command"]
    assert secret[secret.index("--api-key-file") + 1] == "/run/secrets/keys"


def test_the_dashboard_is_whole() -> None:
    """Its structure, since no Grafana is here to read it."""
    folder = write("demo")
    board = json.loads((folder / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 12
    variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
    occupied: set[tuple[int, int]] = set()
    queries = []
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & occupied and at["x"] + at["w"] <= 24
        occupied |= cells
        assert panel["type"] == "timeseries" and panel["title"] and panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            queries.append(target["expr"])
    assert {name for query in queries for name in re.findall(r"\$(\w+)", query)} <= variables


@pytest.mark.needs_tool("promtool")
def test_prometheus_reads_the_queries_of_the_dashboard() -> None:
    board = json.loads((write("demo") / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    promtool = tools.require("promtool")
    rules = [
        {"record": f"r:{n}", "expr": query.replace("$__rate_interval", "1m")}
        for n, query in enumerate(queries)
    ]
    Path("rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    output = passes(promtool, "check", "rules", "rules.json", folder=Path.cwd())
    assert f"{len(queries)} rules found" in output


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    setuptools = tools.require_module("setuptools", "pip install setuptools")
    if int(setuptools.__version__.partition(".")[0]) < 77:  # as pyproject.toml requires
        tools.missing("setuptools is older than 77 (pip install -U setuptools)")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("qchat", "batch", "serve"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    program_text = (
        "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    )
    passes(sys.executable, "-c", program_text, str(tmp_path), folder=source)
    (wheel,) = tmp_path.glob("*.whl")
    deploy = ROOT / "serve" / "deploy"
    with zipfile.ZipFile(wheel) as packed:
        packed_names = {name.removeprefix("qchat/serve/deploy/") for name in packed.namelist()}
    assert names(deploy) <= packed_names
