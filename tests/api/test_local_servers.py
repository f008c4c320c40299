"""Where no server is configured: the one that `qchat serve` runs here, on whatever port."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from qchat.batch.engines.selection import EngineRequest, select_engine
from qchat.serve.registry.records import READY, STARTING, ServerRecord, ServerRegistry

from qchat.api import endpoint as endpoint_module
from qchat.api.local_servers import local_server, running_servers, with_own_key
from qchat.errors import EngineError, UsageError
from qchat.settings import Settings, load

from ..faults import Running
from ..faults import running as faults


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with faults() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(endpoint_module, "LOCAL_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.delenv("QCHAT_API_KEY", raising=False)
    return load({"QCHAT_HOME": str(tmp_path)})


@pytest.fixture
def serves(settings: Settings) -> Iterator["Serves"]:
    with ExitStack() as stack:
        yield Serves(settings, stack)


class Serves:
    """Servers as their supervisors, which are this process, tell of them."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._store = ServerRegistry(settings.paths)
        self._stack = stack

    def __call__(self, name: str, url: str, *, key: str = "none", state: str = READY) -> None:
        self._stack.enter_context(self._store.acquire(name))
        port = int(url.rpartition(":")[2])
        self._store.write(
            ServerRecord(
                name, "demo", "demo", url, "127.0.0.1", port, key, state, time.time(), 0, "", "", ""
            )
        )  # fmt: skip


def test_the_only_one_is_asked(settings: Settings, serves: Serves, server: Running) -> None:
    with pytest.raises(EngineError, match="qchat serve demo --detach"):
        local_server(settings)
    serves("coming", "http://127.0.0.1:7", state=STARTING)
    serves("second", server.url)
    assert local_server(settings) == endpoint_module.Endpoint(server.base_url)


def test_several_are_named(settings: Settings, serves: Serves, server: Running) -> None:
    serves("one", server.url)
    serves("two", "http://127.0.0.1:8")
    with pytest.raises(UsageError) as caught:
        local_server(settings)
    for word in (f"{server.url}/v1 (one)", "http://127.0.0.1:8/v1 (two)", "--base-url"):
        assert word in str(caught.value)


def test_its_key_is_found(settings: Settings, serves: Serves, tmp_path: Path) -> None:
    serves("locked", "http://127.0.0.1:8", key="variable")
    with pytest.raises(UsageError, match="QCHAT_API_KEY"):
        local_server(settings)
    key = tmp_path / "key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    serves("open", "http://127.0.0.1:7", key=str(key))
    endpoints = {one.name: one.endpoint for one in running_servers(settings)}
    assert endpoints["locked"] is None
    assert endpoints["open"] is not None and endpoints["open"].api_key == endpoint_module.Secret(
        "k" * 32
    )


def test_what_answers_at_the_usual_address_comes_first(
    settings: Settings, serves: Serves, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    serves("second", "http://127.0.0.1:8")
    monkeypatch.setattr(endpoint_module, "LOCAL_URL", server.base_url)
    assert local_server(settings).origin == "default"


def test_its_own_key_goes_to_the_one_at_the_usual_address(
    settings: Settings, serves: Serves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    with faults(api_key="k" * 32) as closed:
        monkeypatch.setattr(endpoint_module, "LOCAL_URL", closed.base_url)
        assert local_server(settings).api_key is None  # not one of qchat's: the answer will tell
        serves("closed", closed.url, key=str(key))
        assert local_server(settings).api_key == endpoint_module.Secret("k" * 32)
        profile = endpoint_module.Endpoint(closed.base_url, name="local")  # as setup has written it
        assert with_own_key(settings, profile).api_key == endpoint_module.Secret("k" * 32)
        own = endpoint_module.Endpoint(closed.base_url, endpoint_module.Secret("mine"))
        assert with_own_key(settings, own) is own


class Silent:
    """A reporter without a screen."""

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


@pytest.mark.parametrize("engine", ["http", "auto"])
async def test_a_batch_that_names_nobody_is_told_who_is_here(
    settings: Settings, serves: Serves, engine: str
) -> None:
    serves("second", "http://127.0.0.1:8")
    with pytest.raises(UsageError, match=r"Running here: http://127\.0\.0\.1:8/v1 \(second\)\."):
        await select_engine(EngineRequest(engine=engine), settings, Path, Silent())
