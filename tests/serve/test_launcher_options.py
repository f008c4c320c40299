"""The command line of the launcher."""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from qchat.serve import launcher
from qchat.serve.access.access_rules import VARIABLE
from qchat.serve.planning.launcher_options import LauncherOptions

from qchat.engine.runtime import vllm_startup
from qchat.errors import EngineError, UsageError


@pytest.mark.parametrize(
    "options",
    [
        LauncherOptions("demo", "demo"),
        LauncherOptions("/m/x", "y", "::1", 81, 7, ("--max-num-seqs", "2")),
        LauncherOptions("demo", "demo", uds="/run/x/api.sock", vllm_args=("--seed", "1")),
    ],
)
def test_what_is_written_is_read(options: LauncherOptions) -> None:
    assert LauncherOptions.from_arguments(options.to_arguments()) == options


def test_defaults() -> None:
    options = LauncherOptions.from_arguments(["--model", "org/Model/"])
    assert options == LauncherOptions("org/Model/", "Model")


@pytest.mark.parametrize("name", ["host", "port", "uds", "model", "served-model-name"])
def test_options_that_belong_before_the_separator(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name} belongs to the launcher"):
        LauncherOptions.from_arguments(["--model", "demo", "--", f"--{name}", "x"])


def test_without_access_rules_it_serves_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert launcher.main(["--host", "0.0.0.0", "--port", "1"]) == 2
    assert "0.0.0.0 would expose the model" in capsys.readouterr().err


def test_on_a_unix_socket_it_needs_no_port_and_removes_the_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    path = tmp_path / "api.sock"
    vllm_options: dict[str, str] = {}

    def listen_and_end(_installed: object, options: Mapping[str, str], *_more: object) -> None:
        vllm_options.update(options)
        path.touch()

    installed = vllm_startup.InstalledVllm("0.32.0", cpu=True)
    monkeypatch.setattr(vllm_startup, "installed_vllm", lambda: installed)
    monkeypatch.setattr(vllm_startup, "set_environment", lambda _path: None)
    monkeypatch.setattr(launcher, "_run", listen_and_end)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        arguments = ["--model", "demo", "--port", port, "--uds", str(path)]
        assert launcher.main(arguments) == 0
    assert vllm_options["uds"] == str(path) and not {"host", "port"} & vllm_options.keys()
    assert not path.exists()


def test_it_ends_with_the_process_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tied to that process before anything else can fail."""
    ties: list[tuple[object, ...]] = []
    monkeypatch.setattr("qchat.lifeline.die_with_parent", lambda *arguments: ties.append(arguments))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert launcher.main(["--model", "demo", "--port", port, "--parent-pid", "7"]) == 2
    assert ties == [(signal.SIGTERM, 7)]


@pytest.mark.parametrize(
    ("rules", "middleware"), [("{}", "qchat.serve.access.Access"), (None, None)]
)
def test_with_access_rules_vllm_gets_the_access_layer(
    rules: str | None, middleware: str | None, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    """The launcher stops here where it would import vLLM."""
    vllm_options: dict[str, str] = {}

    def stop(_installed: vllm_startup.InstalledVllm, options: Mapping[str, str]) -> NoReturn:
        vllm_options.update(options)
        raise EngineError("no vLLM here")

    if rules is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, rules)
    installed = vllm_startup.InstalledVllm("0.32.0", cpu=True)
    monkeypatch.setattr(vllm_startup, "installed_vllm", lambda: installed)
    monkeypatch.setattr(vllm_startup, "set_environment", lambda _folder: None)
    monkeypatch.setattr(vllm_startup, "one_process", stop)
    arguments = ["--model", "demo", "--port", str(unused_port)]
    assert launcher.main(arguments) == EngineError.exit_code
    assert vllm_options["port"] == str(unused_port)
    assert vllm_options.get("middleware") == middleware
