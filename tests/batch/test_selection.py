"""Which engine and model a run takes: by its options, the settings, and what answers."""

import json
from pathlib import Path

import pytest
from qchat.batch.engines import local_vllm, model_weights

from tests import faults

from .commands import batch, read, write
from .echo import Echo

pytestmark = pytest.mark.usefixtures("home")


def configure(home: Path, text: str) -> None:
    """Write config.toml."""
    config = home.parent / "home" / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(text)


@pytest.fixture
def local_models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that runs have begun on this machine, which answers like an `Echo`."""
    models: list[str] = []

    class Local(Echo):
        def __init__(self, model: str) -> None:
            self._model = model

        def prewarm(self) -> None:
            models.append(self._model)

    def make(_source: str, model: str, **_options: object) -> Local:
        return Local(model)

    monkeypatch.setattr(local_vllm, "local_engine", lambda *_args, **_options: (make, ""))
    return models


def read_manifest() -> dict[str, object]:
    value = json.loads(Path("in.results.manifest.json").read_text())
    assert isinstance(value, dict)
    return value


def dead_server(home: Path) -> str:
    """Configure a server that is not there; return its address."""
    with faults.running() as gone:
        configure(home, f'[servers.lab]\nbase_url = "{gone.url}"\n')
    return gone.base_url


@pytest.mark.parametrize("given", ["option", "setting"])
def test_where_the_configured_server_is_away_the_model_runs_here(
    given: str,
    home: Path,
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = dead_server(home)
    write("in.jsonl", "a")
    if given == "setting":
        monkeypatch.setenv("QCHAT_MODEL", "demo")
    assert batch("in.jsonl", *(["--model", "demo"] if given == "option" else [])) == 0
    assert local_models == ["demo"]
    assert f"Asking demo through vLLM in this process ({url} can't" in capfd.readouterr().err
    assert batch("in.jsonl", "-o", "http.jsonl", "--engine", "http", "--model", "demo") == 3
    assert batch("in.jsonl", "-o", "named.jsonl", "--server", "lab", "--model", "demo") == 3


def test_where_the_configured_server_is_away_a_recipe_that_fits_is_run(
    home: Path, local_models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_server(home)
    monkeypatch.setattr(model_weights, "recommended_recipe", lambda _options: "demo")
    write("in.jsonl", "a")
    assert batch("in.jsonl") == 0
    assert local_models == ["demo"]


@pytest.mark.parametrize("model", ["", "a-name-that-only-the-server-knows"])
def test_where_nothing_runs_here_what_is_wrong_is_the_server(
    model: str,
    home: Path,
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = dead_server(home)
    if model:
        monkeypatch.setenv("QCHAT_MODEL", model)
    monkeypatch.setattr(model_weights, "recommended_recipe", lambda _options: None)
    write("in.jsonl", "a")
    assert batch("in.jsonl") == 3
    assert f"{url} can't be reached" in capfd.readouterr().err
    assert local_models == []


def test_a_configured_server_that_refuses_is_the_fault_of_the_run(
    home: Path, local_models: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    with faults.running(api_key="secret") as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl", "--model", "demo") == 3
    assert "wants a key" in capfd.readouterr().err
    with faults.running() as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl", "--model", "other") == 3
    err = capfd.readouterr().err
    assert "does not offer the model 'other', but demo. --engine offline runs it" in err
    assert local_models == []
    assert not list(Path().glob("*.results.*"))


def test_the_bundled_model_runs_here_where_the_configured_server_has_others(
    home: Path, local_models: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a")
    with faults.running(models=("large",)) as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl", "--server", "lab", "--model", "demo") == 3
        err = capfd.readouterr().err
        assert "does not offer the model 'demo', but large." in err and "--engine" not in err
        assert batch("in.jsonl", "--model", "demo") == 0
        assert server.log.answered == {}
    assert local_models == ["demo"]


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


def gone() -> str:
    """The address of a server that is not there."""
    with faults.running() as server:
        return server.url


def test_nothing_to_do_needs_no_server(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("empty.jsonl").write_text("")
    Path("blank.jsonl").write_text(" \n\n")
    Path("fleet.txt").write_text(f"{gone()}\n")
    for args in (
        ("empty.jsonl", "--base-url", gone()),
        ("blank.jsonl", "--base-url", gone()),
        ("empty.jsonl", "--servers", "fleet.txt"),
        ("empty.jsonl",),
    ):
        assert batch(*args) == 0
        assert "no rows, nothing to do" in capfd.readouterr().err
    write("in.jsonl", {"prompt": "a"}, {"prompt": "b", "model": "mine"})
    with faults.running(models=("demo", "mine")) as server:
        args = ("in.jsonl", "--base-url", server.url)
        monkeypatch.setenv("QCHAT_MODEL", "demo")
        assert batch(*args) == 0
        monkeypatch.delenv("QCHAT_MODEL")
        server.down()
        before = Path("in.results.jsonl").read_bytes()
        capfd.readouterr()
        assert batch(*args) == 0
        assert "All 2 rows are done already" in capfd.readouterr().err
        assert batch(*args, "--restart") == 3
        assert batch(*args, "--verify", "1") == 3
        write("in.jsonl", {"prompt": "a"}, {"prompt": "b", "model": "mine"}, {"prompt": "c"})
        for _start in range(2):
            assert batch(*args) == 3
            assert "can't be reached" in capfd.readouterr().err
        assert Path("in.results.jsonl").read_bytes() == before
        assert read_manifest()["state"] == "lost"
        server.up()
        server.reset_log()
        monkeypatch.setenv("QCHAT_MODEL", "demo")
        assert batch(*args) == 0
        assert server.log.answered == {"c": 1}


def test_failed_rows_of_a_run_that_is_done_keep_its_exit_code() -> None:
    write("in.jsonl", "a", "b [[fault:400]]")
    with faults.running() as server:
        assert batch("in.jsonl", "--base-url", server.url) == 1
    assert batch("in.jsonl", "--base-url", server.url) == 1
    assert batch("in.jsonl", "--base-url", server.url, "--retry-failed") == 3


@pytest.mark.parametrize(
    ("lines", "args", "message"),
    [
        ([{"custom_id": "x", "prompt": "a"}] * 2, [], "in.jsonl line 1 and in.jsonl line 2"),
        ([{"text": "a"}], ["--template", "{title}"], "no column 'title'"),
        ([{"nothing": 1}], [], "no line that is a request"),
    ],
)
def test_what_is_wrong_with_the_input_is_told_before_what_is_wrong_with_the_server(
    lines: list[object], args: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *lines)
    assert batch("in.jsonl", "--base-url", gone(), *args) == 2
    err = capfd.readouterr().err
    assert message in err
    assert "can't be reached" not in err


def test_nothing_to_do_starts_no_model_here(local_models: list[str]) -> None:
    Path("empty.jsonl").write_text("")
    assert batch("empty.jsonl", "--model", "demo") == 0
    assert local_models == []
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--model", "demo") == 0
    assert batch("in.jsonl", "--model", "demo") == 0
    assert local_models == ["demo"]
    write("in.jsonl", "a", "b")
    assert batch("in.jsonl", "--model", "demo") == 0
    assert [row["output"] for row in read("in.results.jsonl")] == ["answer 1", "answer 2"]


def test_a_run_that_began_with_a_server_does_not_go_on_with_another_model(
    home: Path,
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write("in.jsonl", "a")
    with faults.running(models=("large",)) as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl") == 0
    monkeypatch.setattr(model_weights, "recommended_recipe", lambda _options: "demo")
    write("in.jsonl", "a", "b")
    assert batch("in.jsonl") == 3
    assert "can't be reached" in capfd.readouterr().err
    assert local_models == []
    assert batch("in.jsonl", "-o", "new.jsonl") == 0
    assert local_models == ["demo"]


def two_models(*more: object) -> None:
    """Write an input with rows of two models."""
    write("in.jsonl", "a", {"prompt": "b", "model": "other"}, *more)


def test_a_run_that_began_with_a_server_goes_on_with_one(
    home: Path,
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A model here would override those that rows name."""
    monkeypatch.setenv("QCHAT_MODEL", "demo")
    two_models()
    with faults.running(models=("demo", "other")) as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl") == 0
    before = Path("in.results.jsonl").read_bytes()
    two_models("c")
    assert batch("in.jsonl") == 3
    assert "can't be reached" in capfd.readouterr().err
    assert local_models == []
    assert Path("in.results.jsonl").read_bytes() == before
    assert not Path("in.results.damaged.jsonl").exists()


def test_answers_of_a_model_here_stay_where_no_engine_can_be_had(
    home: Path,
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCHAT_MODEL", "demo")
    dead_server(home)
    two_models()
    assert batch("in.jsonl") == 0
    assert local_models == ["demo"]
    before = Path("in.results.jsonl").read_bytes()
    two_models("c")
    with faults.running(api_key="secret") as server:
        configure(home, f'[servers.lab]\nbase_url = "{server.url}"\n')
        assert batch("in.jsonl") == 3
    assert "wants a key" in capfd.readouterr().err
    assert Path("in.results.jsonl").read_bytes() == before
    assert not Path("in.results.damaged.jsonl").exists()


def test_a_model_that_overrides_those_of_answered_rows_is_a_change_of_parameters(
    local_models: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCHAT_MODEL", "demo")
    two_models()
    with faults.running(models=("demo", "other")) as both:
        asked = ("in.jsonl", "--base-url", both.url)
        assert batch(*asked) == 0
        before = Path("in.results.jsonl").read_bytes()
        for args in (("in.jsonl", "--engine", "offline"), (*asked, "--model", "demo")):
            assert batch(*args) == 2
            err = capfd.readouterr().err
            assert "(model_overrides_rows: False before, True now), 1 row that is answered" in err
        assert Path("in.results.jsonl").read_bytes() == before
        assert not Path("in.results.damaged.jsonl").exists()
        manifest = read_manifest()
        del manifest["settings"]["model_overrides_rows"]  # type: ignore[attr-defined]
        Path("in.results.manifest.json").write_text(json.dumps(manifest))  # of an earlier version
        assert batch(*asked) == 0
        assert Path("in.results.jsonl").read_bytes() == before
    assert local_models == []
