"""What `qchat serve --write-deploy` writes, with which rights, and what it refuses."""

import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qchat.serve import deploy_templates
from qchat.serve.access import keys, routes

from qchat import cli
from qchat.engine.machine.hardware import Gpu, Machine

from .deploying import WORKERS, compose_file, names, write

pytestmark = pytest.mark.usefixtures("machine")

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


def test_the_files_of_a_server_and_of_the_machine_in_front(capsys: Any) -> None:
    folder = write("demo")
    assert names(folder) == SERVER
    output = capsys.readouterr()
    assert set(output.out.splitlines()) >= {str(folder / name) for name in SERVER}
    assert "Nothing was started" in output.out and "There are no keys yet" in output.err
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


def test_memory_in_use_does_not_count(
    machine: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The files are for later. What was assumed is said."""
    busy = Gpu(0, "NVIDIA H100", 81_559, 500, (9, 0))
    for here, gpu in ((Machine((), 24_000, 500, 16), False), (Machine((busy,), 9, 9, 1), True)):
        machine(gpu)
        monkeypatch.setattr("qchat.serve.planning.target_machine.detect", lambda here=here: here)
        assert cli.run(["serve", "Qwen3-4B", "--print-command"]) == 2
        assert "can't run here" in capsys.readouterr().err
        assert cli.run(["serve", "Qwen3-4B", "--write-deploy", f"service-{gpu}"]) == 0
        assert here.at_rest().description in capsys.readouterr().err


def test_without_a_gpu_the_fit_is_unknown(
    machine: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    machine(True)
    monkeypatch.setattr(
        "qchat.serve.planning.target_machine.detect", lambda: Machine((), 9000, 8000, 2)
    )
    folder = write("Qwen3-32B")
    assert "Whether the model fits is unknown" in capsys.readouterr().err
    assert names(folder) == SERVER | {"compose/compose.gpu.yaml"}


def test_the_files_start_the_same_server(machine: Callable[[bool], None]) -> None:
    """`qchat serve` with the arguments of the unit and of the compose file is the same command."""
    machine(True)
    options = ["--name", "lab", "--port", "8123", "--max-model-len", "9000", "--allowed-origin"]
    options += ["https://a.example", "--gpu-memory-utilization", "0.8", "--allowed-host", "lab"]
    folder = write("Qwen3-32B", *options, "--", "--max-num-seqs", "64")
    unit = (folder / "qchat.service").read_text("utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    written = line.split()[3:]
    compose = compose_file(folder)["services"]["qchat"]["command"]
    Path("keys").write_text(f"client {'k' * 40}\n")
    Path("keys").chmod(0o600)
    commands = []
    for arguments in (["serve", "Qwen3-32B", *options, "--api-key-file", "keys"], written, compose):
        arguments = ["keys" if arg.endswith("/keys") else arg for arg in arguments]
        arguments = ["127.0.0.1" if arg == "0.0.0.0" else arg for arg in arguments]
        extra = [] if "--" in arguments else ["--", "--max-num-seqs", "64"]
        commands.append(printed(["--print-command", *arguments[1:], *extra]))
    assert "--max-model-len 9000" in commands[0] and "--max-num-seqs 64" in commands[0]
    assert commands[0] == commands[1] == commands[2]


def printed(arguments: list[str]) -> str:
    from click.testing import CliRunner

    result = CliRunner().invoke(cli.main, ["serve", *arguments], standalone_mode=False)
    assert result.exception is None, result.output
    return result.stdout


class TestNothingIsOverwritten:
    def test_the_same_again_changes_nothing(self, capsys: Any) -> None:
        folder = write("demo", "--generate-key")
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        (folder / "alerts.yml").unlink()
        capsys.readouterr()
        assert write("demo", "--generate-key") == folder
        output = capsys.readouterr()
        assert "alerts.yml" in output.out and "nginx.conf\n" not in output.out
        assert "The existing keys are kept." in output.err
        assert {name: (folder / name).read_bytes() for name in names(folder)} == before
        write("demo", "--generate-key")
        assert "All files exist already" in capsys.readouterr().out

    def test_a_changed_file_is_named_and_nothing_is_written(self, capsys: Any) -> None:
        folder = write("demo")
        (folder / "nginx.conf").write_text("mine")
        (folder / "alerts.yml").unlink()
        (folder / "prometheus.yml").unlink()
        (folder / "prometheus.yml").symlink_to("/nowhere")
        assert cli.run(["serve", "demo", "--write-deploy", "service"]) == 2
        output = capsys.readouterr().err
        assert "nginx.conf, prometheus.yml" in output and "nothing is overwritten" in output
        assert (folder / "nginx.conf").read_text() == "mine"
        assert not (folder / "alerts.yml").exists()

    def test_half_of_the_keys_is_no_reason_to_make_others(self, capsys: Any) -> None:
        folder = write("demo", "--generate-key")
        before = (folder / "keys").read_bytes()
        (folder / "prometheus.key").unlink()
        assert cli.run(["serve", "demo", "--write-deploy", "service", "--generate-key"]) == 2
        assert "keys exists already" in capsys.readouterr().err
        assert (folder / "keys").read_bytes() == before

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
    output = capsys.readouterr()
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o600
    made = {line.split()[0]: line.split()[1] for line in (folder / "keys").read_text().splitlines()}
    assert list(made) == ["client", "prometheus"]
    assert (folder / "prometheus.key").read_text().strip() == made["prometheus"]
    assert keys.read(folder / "keys").owner(made["client"]) == "client"
    texts = [(folder / name).read_text() for name in names(folder) - {"keys", "prometheus.key"}]
    for text in (*texts, output.out, output.err):
        assert not any(key in text for key in (secret, *made.values()))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--domain", "llm example"], "not a domain name"),
        (["--domain", 'a";'], "not a domain name"),
        (["--worker", "10.0.0.5:8000"], "http://HOST:PORT"),
        (["--worker", "http://10.0.0.5"], "http://HOST:PORT"),
        (["--worker", "http://a:1;", "--worker", "http://b:2"], "http://HOST:PORT"),
        (["--worker", "http://a:1", "--worker", "https://b:2"], "https for all of the --worker"),
        (["--worker", "http://a:1", "--worker", "http://a:1"], "given twice"),
        (["--worker", "http://a:1", "--generate-key"], "belong to the servers"),
        (["--api-key-file", "k", "--generate-key"], "not both"),
        (["--api-key-file", "a:b"], "Can't read the key file"),
        (["--detach"], "use it without --detach"),
        (["--print-command"], "use it without --detach"),
        (["--", "--port", "1"], "--port is set by qchat"),
        (["--worker", "http://a:0"], "http://HOST:PORT"),
        (["--", "--api-key", "hf_secret"], "--api-key is set by qchat"),
        (["--", "--hf-token", "hf_secret"], "--hf-token can't be given after the --"),
        (["--", "--seed", "1", "--hf_tok=hf_secret"], "--hf_tok can't be given after the --"),
    ],
)
def test_what_is_refused(arguments: list[str], error: str, capsys: Any) -> None:
    assert cli.run(["serve", "demo", "--write-deploy", "service", *arguments]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert error in err and "hf_secret" not in err
    assert not Path("service").exists()


def test_the_machine_in_front_needs_the_name_of_the_model(capsys: Any) -> None:
    assert cli.run(["serve", "--write-deploy", "service", *WORKERS]) == 2
    assert "Name the MODEL" in capsys.readouterr().err and not Path("service").exists()


def test_others_read_what_is_not_secret_whatever_the_umask(capsys: Any) -> None:
    before = os.umask(0o077)
    try:
        folder = write("demo", "--generate-key")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in names(folder)}
    private = {"keys", "prometheus.key"}
    assert {name for name, mode in modes.items() if mode == 0o600} == private
    assert {name for name, mode in modes.items() if mode == 0o755} == {"check-service.sh"}
    assert {modes[name] for name in modes.keys() - private - {"check-service.sh"}} == {0o644}
    assert stat.S_IMODE((folder / "compose").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "compose" / "prometheus-data").stat().st_mode) == 0o700


def test_a_path_that_not_every_format_can_hold_is_refused(capsys: Any) -> None:
    for folder in ("a:b", "a'b", "a$b", "a\nb"):
        assert cli.run(["serve", "demo", "--write-deploy", folder]) == 2
        assert "use another" in capsys.readouterr().err and not Path(folder).exists()


def test_a_domain_without_a_folder_is_refused(capsys: Any) -> None:
    assert cli.run(["serve", "demo", "--domain", "a.example"]) == 2
    assert "need --write-deploy" in capsys.readouterr().err


def test_home_directories_behind_symlinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy_templates, "__file__", "/opt/qchat/serve/deploy_templates.py")
    monkeypatch.setattr(sys, "executable", "/opt/qchat/bin/python")
    assert not deploy_templates.in_a_home(None) and not deploy_templates.in_a_home(
        Path("/srv/model")
    )
    assert deploy_templates.in_a_home(Path("/home/me/model"))
    Path("python").symlink_to("/root/.pyenv/bin/python3.11")
    monkeypatch.setattr(sys, "executable", str(Path("python").absolute()))
    assert deploy_templates.in_a_home(None)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["a", "b c"], 'a "b c"'),
        (['{"x": 1}'], '"{\\"x\\": 1}"'),
        (["100%", "$HOME", "a\\b"], '100%% $$HOME "a\\\\b"'),
        (["${QCHAT_KEYS}/keys"], "${QCHAT_KEYS}/keys"),
        (["${OTHER}", ""], '$${OTHER} ""'),
    ],
)
def test_a_line_of_a_unit_is_quoted(arguments: list[str], line: str) -> None:
    assert deploy_templates.unit_line(arguments) == line


def test_origins_let_browsers_ask_first() -> None:
    assert "OPTIONS" not in deploy_templates.allowed(False)
    lines = deploy_templates.allowed(True).splitlines()
    assert '    "~^OPTIONS /v1/chat/completions$" 1;' in lines
    posts = {line.replace("~^POST", "~^OPTIONS") for line in lines if "~^POST" in line}
    assert len(posts) == sum(1 for method, _p in routes.WITH_KEY if method == "POST") + 1
    assert posts <= set(lines) and not any("metrics" in line for line in lines)
