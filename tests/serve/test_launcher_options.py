"""The command line of the launcher."""

import pytest
from qchat.serve import launcher
from qchat.serve.access_rules import VARIABLE
from qchat.serve.launcher_options import LauncherOptions

from qchat.errors import UsageError


@pytest.mark.parametrize(
    "options",
    [
        LauncherOptions("demo", "demo"),
        LauncherOptions("/m/x", "y", "::1", 81, 7, ("--max-num-seqs", "2")),
    ],
)
def test_what_is_written_is_read(options: LauncherOptions) -> None:
    assert LauncherOptions.from_arguments(options.to_arguments()) == options


def test_defaults() -> None:
    options = LauncherOptions.from_arguments(["--model", "org/Model/"])
    assert options == LauncherOptions("org/Model/", "Model")


@pytest.mark.parametrize("name", ["host", "port", "model", "served-model-name"])
def test_options_that_belong_before_the_separator(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name} belongs to the launcher"):
        LauncherOptions.from_arguments(["--model", "demo", "--", f"--{name}", "x"])


def test_without_access_rules_it_serves_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert launcher.main(["--host", "0.0.0.0", "--port", "1"]) == 2
    assert "0.0.0.0 would expose the model" in capsys.readouterr().err
