"""What `qchat serve --write-deploy` writes, looked at by the programs that it is for."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qchat.serve import access, filling, keys

from qchat import cli, vllm_start
from qchat.machine import Gpu, Machine

ROOT = Path(__file__).resolve().parents[2]
H100 = Gpu(0, "NVIDIA H100", 81_559, 81_000, (9, 0))
SERVER = {
    "README.md",
    "alerts.yml",
    "check-service.sh",
    "compose/.env",
    "compose/Dockerfile",
    "compose/Dockerfile.dockerignore",
    "compose/compose.yaml",
    "compose/nginx.conf",
    "compose/prometheus.yml",
    "grafana-dashboard.json",
    "nginx.conf",
    "prometheus.yml",
    "qchat.service",
}
IN_FRONT = {
    "README.md",
    "alerts.yml",
    "check-service.sh",
    "grafana-dashboard.json",
    "nginx.conf",
    "prometheus.yml",
    "vllm-router.service",
}
WORKERS = ["--worker", "http://10.0.0.5:8000", "--worker", "http://10.0.0.6:8000"]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """This machine has no GPU, or one: by default none."""
    for name in ("QCHAT_API_KEY", "VLLM_API_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def become(gpu: bool) -> None:
        found = Machine((H100,) if gpu else (), 24_000, 20_000, 16)
        monkeypatch.setattr(
            vllm_start, "installed", lambda: vllm_start.Installed("0.32.0", not gpu)
        )
        monkeypatch.setattr("qchat.serve.command._machine", lambda cpu: found)

    become(gpu=False)
    return become


def write(*words: str) -> Path:
    assert cli.run(["serve", "--write-deploy", "service", *words]) == 0
    return Path("service").absolute()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return found


def passes(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_files_of_a_server_and_of_the_machine_in_front(capsys: Any) -> None:
    folder = write("demo")
    assert names(folder) == SERVER
    said = capsys.readouterr()
    assert set(said.out.splitlines()) >= {str(folder / name) for name in SERVER}
    assert "Nothing was started" in said.out and "There are no keys yet" in said.err
    assert cli.run(["serve", "demo", "--write-deploy", "front", *WORKERS]) == 0
    assert names(Path("front")) == IN_FRONT


def test_nothing_is_left_to_fill_in_and_the_readme_lists_what_is_there() -> None:
    written = [write("demo", "--domain", "llm.example.com")]
    assert cli.run(["serve", "demo", "--write-deploy", "front", *WORKERS]) == 0
    for folder in (*written, Path("front")):
        for name in names(folder):
            assert "@@" not in (folder / name).read_text("utf-8"), name
        readme = (folder / "README.md").read_text("utf-8")
        rows = re.findall(r"^\| (`.*`) \|", readme, re.MULTILINE)
        listed = {name for row in rows for name in re.findall(r"`(.*?)`", row)} - {"compose/"}
        there = {name for name in names(folder) if "/" not in name} - {"README.md"}
        assert listed == there


def test_the_chosen_recipe_is_in_it(machine: Callable[[bool], None]) -> None:
    machine(True)
    folder = write("Qwen3-32B", "--domain", "llm.example.com", "--", "--max-num-seqs", "64")
    unit = (folder / "qchat.service").read_text("utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert line.startswith(f"ExecStart={sys.executable} -m qchat serve Qwen/Qwen3-32B ")
    assert "--served-model-name Qwen3-32B" in line and line.endswith(" -- --max-num-seqs 64")
    assert "server_name llm.example.com;" in (folder / "nginx.conf").read_text("utf-8")
    assert "compose.yaml:compose.gpu.yaml" in (folder / "compose" / ".env").read_text("utf-8")
    assert names(folder) == SERVER | {"compose/compose.gpu.yaml"}


def test_a_recipe_that_does_not_fit_is_refused(capsys: Any) -> None:
    assert cli.run(["serve", "Qwen3-32B", "--write-deploy", "service"]) == 2
    assert not Path("service").exists() and "MiB" in capsys.readouterr().err


def test_what_is_started_is_what_was_asked_for(machine: Callable[[bool], None]) -> None:
    """The words of the unit and of the compose file make `qchat serve` start the same server."""
    machine(True)
    said = ["--name", "lab", "--port", "8123", "--max-model-len", "9000", "--allowed-origin"]
    said += ["https://a.example", "--gpu-memory-utilization", "0.8", "--allowed-host", "lab"]
    folder = write("Qwen3-32B", *said, "--", "--max-num-seqs", "64")
    unit = (folder / "qchat.service").read_text("utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    written = line.split()[3:]
    compose = compose_file(folder)["services"]["qchat"]["command"]
    Path("keys").write_text(f"client {'k' * 40}\n")
    Path("keys").chmod(0o600)
    shown = []
    for words in (["serve", "Qwen3-32B", *said, "--api-key-file", "keys"], written, compose):
        words = [word if not word.endswith("/keys") else "keys" for word in words]
        words = [word if word != "0.0.0.0" else "127.0.0.1" for word in words]
        extra = [] if "--" in words else ["--", "--max-num-seqs", "64"]
        shown.append(printed(["--print-command", *words[1:], *extra]))
    assert "--max-model-len 9000" in shown[0] and "--max-num-seqs 64" in shown[0]
    assert shown[0] == shown[1] == shown[2]


def printed(words: list[str]) -> str:
    from click.testing import CliRunner
    from qchat.serve.command import serve

    result = CliRunner().invoke(serve, words, standalone_mode=False)
    assert result.exception is None, result.output
    return result.stdout


def compose_file(folder: Path, name: str = "compose.yaml") -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (vLLM brings it)")
    found: dict[str, Any] = yaml.safe_load((folder / "compose" / name).read_text("utf-8"))
    return found


class TestNothingIsOverwritten:
    def test_the_same_again_changes_nothing(self, capsys: Any) -> None:
        folder = write("demo", "--generate-key")
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        (folder / "alerts.yml").unlink()
        capsys.readouterr()
        assert write("demo", "--generate-key") == folder
        said = capsys.readouterr()
        assert "alerts.yml" in said.out and "nginx.conf\n" not in said.out
        assert "The keys that are there stay." in said.err
        assert {name: (folder / name).read_bytes() for name in names(folder)} == before
        write("demo", "--generate-key")
        assert "All of it is there already" in capsys.readouterr().out

    def test_a_changed_file_is_named_and_nothing_is_written(self, capsys: Any) -> None:
        folder = write("demo")
        (folder / "nginx.conf").write_text("mine")
        (folder / "alerts.yml").unlink()
        (folder / "prometheus.yml").unlink()
        (folder / "prometheus.yml").symlink_to("/nowhere")
        assert cli.run(["serve", "demo", "--write-deploy", "service"]) == 2
        said = capsys.readouterr().err
        assert "nginx.conf, prometheus.yml" in said and "nothing is overwritten" in said
        assert (folder / "nginx.conf").read_text() == "mine"
        assert not (folder / "alerts.yml").exists()

    def test_half_of_the_keys_is_no_reason_to_make_others(self, capsys: Any) -> None:
        folder = write("demo", "--generate-key")
        kept = (folder / "keys").read_bytes()
        (folder / "prometheus.key").unlink()
        assert cli.run(["serve", "demo", "--write-deploy", "service", "--generate-key"]) == 2
        assert "keys is there already" in capsys.readouterr().err
        assert (folder / "keys").read_bytes() == kept

    def test_a_folder_that_cannot_be_written_keeps_nothing(self, capsys: Any) -> None:
        Path("service").mkdir()
        Path("service/compose").write_text("in the way")
        assert cli.run(["serve", "demo", "--write-deploy", "service"]) == 2
        assert "Can't write" in capsys.readouterr().err
        assert names(Path("service")) == {"compose"}


def test_keys_are_private_made_on_request_alone_and_in_no_other_file(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_API_KEY", secret := "s" * 40)
    folder = write("demo", "--generate-key")
    said = capsys.readouterr()
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o600
    made = {line.split()[0]: line.split()[1] for line in (folder / "keys").read_text().splitlines()}
    assert list(made) == ["client", "prometheus"]
    assert (folder / "prometheus.key").read_text().strip() == made["prometheus"]
    assert keys.read(folder / "keys").owner(made["client"]) == "client"
    texts = [(folder / name).read_text() for name in names(folder) - {"keys", "prometheus.key"}]
    for text in (*texts, said.out, said.err):
        assert not any(key in text for key in (secret, *made.values()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--domain", "llm example"], "no domain name"),
        (["--domain", 'a";'], "no domain name"),
        (["--worker", "10.0.0.5:8000"], "http://HOST:PORT"),
        (["--worker", "http://10.0.0.5"], "http://HOST:PORT"),
        (["--worker", "http://a:1;", "--worker", "http://b:2"], "http://HOST:PORT"),
        (["--worker", "http://a:1", "--worker", "https://b:2"], "all of the --worker are https"),
        (["--worker", "http://a:1", "--worker", "http://a:1"], "given twice"),
        (["--worker", "http://a:1", "--generate-key"], "belong to the servers"),
        (["--api-key-file", "k", "--generate-key"], "not both"),
        (["--api-key-file", "a:b"], "Can't read the key file"),
        (["--detach"], "give it alone"),
        (["--print-command"], "give it alone"),
        (["--", "--port", "1"], "--port belongs to qchat"),
    ],
)
def test_what_is_refused(words: list[str], said: str, capsys: Any) -> None:
    assert cli.run(["serve", "demo", "--write-deploy", "service", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("service").exists()


def test_a_path_that_not_every_format_can_hold_is_refused(capsys: Any) -> None:
    for folder in ("a:b", "a'b", "a$b", "a\nb"):
        assert cli.run(["serve", "demo", "--write-deploy", folder]) == 2
        assert "use another" in capsys.readouterr().err and not Path(folder).exists()


def test_a_domain_without_a_folder_is_refused(capsys: Any) -> None:
    assert cli.run(["serve", "demo", "--domain", "a.example"]) == 2
    assert "are for --write-deploy" in capsys.readouterr().err


def test_systemd_takes_the_units() -> None:
    analyze = program("systemd-analyze", "systemd")
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


def test_homes_are_seen_through_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "__file__", "/opt/qchat/serve/filling.py")
    monkeypatch.setattr(sys, "executable", "/opt/qchat/bin/python")
    assert not filling.in_a_home(None) and not filling.in_a_home(Path("/srv/model"))
    assert filling.in_a_home(Path("/home/me/model"))
    Path("python").symlink_to("/root/.pyenv/bin/python3.11")
    monkeypatch.setattr(sys, "executable", str(Path("python").absolute()))
    assert filling.in_a_home(None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a", "b c"], 'a "b c"'),
        (['{"x": 1}'], '"{\\"x\\": 1}"'),
        (["100%", "$HOME", "a\\b"], '100%% $$HOME "a\\\\b"'),
        (["${CREDENTIALS_DIRECTORY}/keys"], "${CREDENTIALS_DIRECTORY}/keys"),
        (["${OTHER}", ""], '$${OTHER} ""'),
    ],
)
def test_a_line_of_a_unit_is_quoted(words: list[str], line: str) -> None:
    assert filling.unit_line(words) == line


def test_prometheus_takes_the_configuration() -> None:
    promtool = program("promtool", "prometheus")
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


@pytest.mark.parametrize("alert", HOURS)
def test_each_alert_comes_when_it_should_and_not_when_all_is_well(alert: str) -> None:
    promtool = program("promtool", "prometheus")
    folder = write("demo")
    ill, well = HOURS[alert]
    tests = [check(alert, ill, on=True), check(alert, well, on=False)]
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
        "input_series": [{"series": name, "values": held} for name, held in series.items()],
        "promql_expr_test": [
            {
                "expr": f'sum by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": "60m",
                "exp_samples": expected,
            }
        ],
    }


def test_compose_takes_its_files(machine: Callable[[bool], None]) -> None:
    machine(True)
    folder = write("Qwen3-32B", "--generate-key")
    compose = program("docker-compose", "docker-compose")
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}
    done = subprocess.run(
        [compose, "config"], cwd=folder / "compose", env=kept, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (vLLM brings it)")
    services = yaml.safe_load(done.stdout)["services"]
    assert services["qchat"]["image"] == "qchat:gpu" and services["qchat"]["build"]["args"] == {
        "EXTRA": "gpu",
        "UID": str(os.getuid() or filling.NOBODY),
    }


def test_the_containers_are_closed_and_what_they_mount_is_there() -> None:
    folder = write("demo", "--generate-key")
    found = compose_file(folder)
    services = found["services"]
    assert [name for name, one in services.items() if "ports" in one] == ["nginx", "prometheus"]
    assert services["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    for one in services.values():
        assert one["read_only"] and one["cap_drop"] == ["ALL"]
        for volume in one["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith(".") and source != "../tls":  # that is brought by the person
                assert (folder / "compose" / source).exists(), source
    logs = re.findall(r"access_log (\S+)", (folder / "compose" / "nginx.conf").read_text("utf-8"))
    assert logs == ["/dev/stdout"]  # the container's own disk is read-only
    assert found["secrets"]["keys"]["file"] == str(folder / "keys")
    dockerfile = (folder / "compose" / "Dockerfile").read_text()
    ignored = (folder / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists() and f"!{source}" in ignored, source
    secret = found["services"]["qchat"]["command"]
    assert secret[secret.index("--api-key-file") + 1] == "/run/secrets/keys"


def test_the_dashboard_is_whole() -> None:
    """Grafana is not here to read it: its structure, and each query by Prometheus' own reader."""
    folder = write("demo")
    board = json.loads((folder / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 12
    variables = {one["name"] for one in board["templating"]["list"]} | {"__rate_interval"}
    taken: set[tuple[int, int]] = set()
    queries = []
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "timeseries" and panel["title"] and panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            queries.append(target["expr"])
    assert {name for query in queries for name in re.findall(r"\$(\w+)", query)} <= variables
    promtool = program("promtool", "prometheus")
    rules = [
        {"record": f"r:{n}", "expr": query.replace("$__rate_interval", "1m")}
        for n, query in enumerate(queries)
    ]
    Path("rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    said = passes(promtool, "check", "rules", "rules.json", folder=Path.cwd())
    assert f"{len(queries)} rules found" in said


def test_origins_let_browsers_ask_first() -> None:
    assert "OPTIONS" not in filling.allowed(False)
    lines = filling.allowed(True).splitlines()
    assert '    "~^OPTIONS /v1/chat/completions$" 1;' in lines
    posts = {line.replace("~^POST", "~^OPTIONS") for line in lines if "~^POST" in line}
    assert len(posts) == sum(1 for method, _p in access.WITH_KEY if method == "POST") + 1
    assert posts <= set(lines) and not any("metrics" in line for line in lines)


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools is not installed")
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
        there = {name.removeprefix("qchat/serve/deploy/") for name in packed.namelist()}
    assert names(deploy) <= there
