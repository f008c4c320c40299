"""Which engine and model a run takes: by its options, the settings, and what answers."""

from pathlib import Path

import pytest

from tests import faults

from .commands import batch, read, write

pytestmark = pytest.mark.usefixtures("home")


def configure(home: Path, text: str) -> None:
    """Write config.toml."""
    config = home.parent / "home" / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)


@pytest.mark.parametrize("place", ["variable", "profile"])
def test_a_configured_model_that_is_not_offered_is_no_fault_of_the_rows(
    place: str,
    home: Path,
    server: faults.Running,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    profile = f'[servers.lab]\nbase_url = "{server.url}"\n'
    if place == "variable":
        monkeypatch.setenv("QCHAT_MODEL", "gone")
    else:
        profile += 'model = "gone"\n'
    configure(home, profile)
    write("in.jsonl", "a", {"prompt": "b", "model": "demo"})
    monkeypatch.setattr("qchat.batch.inputs.scan_cache.MIN_BYTES", 0)
    told = f"{server.base_url} does not offer the model 'gone', but demo"
    for _start in range(2):  # with the scan of the first one
        assert batch("in.jsonl") == 3
        assert told in capfd.readouterr().err
    assert not list(Path().glob("*.results.*"))
    assert server.log.answered == {}
    write("in.jsonl", {"prompt": "b", "model": "demo"})  # which needs no other model
    assert batch("in.jsonl") == 0
    assert [row["output"] for row in read("in.results.jsonl")] == ["echo: b"]
