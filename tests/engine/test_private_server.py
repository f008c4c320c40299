"""The engine that asks a server of its own through a Unix socket, with a stand-in for vLLM's."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from qchat.batch.engines import private_server
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.batch.engines.private_server import PrivateServerEngine
from qchat.batch.engines.selection import EngineRequest, select_engine
from qchat.serve.planning.launcher_options import LauncherOptions

from qchat import settings
from qchat.engine.runtime import vllm_entry_points, vllm_startup
from qchat.errors import Code, EngineError, UsageError
from qchat.processes import alive, process_family
from tests.batch.chat_request import chat_request

from .uds_server import FAILURE
from .vllm_source import write_vllm

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(private_server, "LAUNCHER", "tests.engine.uds_server")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    installed = vllm_startup.InstalledVllm("0.34.0", cpu=True)
    monkeypatch.setattr(vllm_startup, "installed_vllm", lambda: installed)


@asynccontextmanager
async def started(log: Path, **options: str) -> AsyncIterator[PrivateServerEngine]:
    with redirect_output(log):
        engine = PrivateServerEngine(
            "demo", "some-name", options=OfflineOptions(engine_args=options, log=log)
        )
        try:
            await engine.start()
            yield engine
        finally:
            await engine.close()


def children() -> set[int]:
    return set(process_family([os.getpid()])) - {os.getpid()}


async def test_it_answers_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "for another server")
    before = children()
    options = {"--max_model_len": "128", "enable-lora": "", "port": "1"}
    async with started(tmp_path / "log", **options) as engine:
        outcome = await engine.answer(chat_request("hello"))
        assert await engine.alive()
        assert engine.window >= 1 and engine.states() == ()
        assert "vLLM 0.34.0 in a private server" in engine.description
        members = children() - before
        assert len(members) == 1
    assert outcome.body is not None
    text = outcome.body["choices"][0]["message"]["content"]
    hello, mode, key, *arguments = text.split()
    assert (hello, mode, key) == ("hello", "0o700", "None")  # no key: nobody else gets there
    read = LauncherOptions.from_arguments(arguments)
    assert read.served_model_name == "some-name" and read.parent_pid == os.getpid()
    assert read.vllm_args[:2] == ("--max-model-len=128", "--enable-lora")
    assert "--port=1" not in read.vllm_args
    assert alive(members) == []
    assert read.uds is not None and not Path(read.uds).parent.exists()
    assert not await engine.alive()
    await engine.close()


async def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAILURE, "ValueError: the weights are of wax")
    before = children()
    with pytest.raises(EngineError) as error:
        async with started(tmp_path / "log"):
            pass
    assert "vLLM can't start some-name: the weights are of wax" in str(error.value)
    assert str(tmp_path / "log") in str(error.value)
    assert children() == before
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_missing_model_is_reported_before_anything_starts() -> None:
    before = children()
    with pytest.raises(UsageError, match="There is no folder"):
        PrivateServerEngine("./nowhere", "x").prewarm()
    assert children() == before


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("die", Code.ENGINE_DEAD),
        ("be killed", Code.ENGINE_KILLED),
        ("lose the engine", Code.ENGINE_KILLED),
    ],
)
async def test_a_server_that_ends_is_an_engine_that_ended(
    tmp_path: Path, prompt: str, code: Code
) -> None:
    async with started(tmp_path / "log") as engine:
        assert (await engine.answer(chat_request("hello"))).answered
        failure = (await engine.answer(chat_request(prompt))).failure
        assert failure is not None and failure.code is code
        assert not await engine.alive()
        later = (await engine.answer(chat_request("hello"))).failure
        assert later is not None and later.code is code


async def test_a_failure_of_a_server_that_goes_on_is_the_request_s_own(tmp_path: Path) -> None:
    async with started(tmp_path / "log") as engine:
        request = chat_request("hello")
        request.body["messages"] = []  # the stand-in fails on it: 500
        failure = (await engine.answer(request)).failure
        assert failure is not None and failure.code is Code.SERVER_ERROR
        assert await engine.alive()


async def test_after_kill_9_of_the_server_its_files_are_removed(tmp_path: Path) -> None:
    async with started(tmp_path / "log") as engine:
        (pid,) = (pid for pid in children() if b"uds_server" in command(pid))
        os.kill(pid, signal.SIGKILL)
        assert (await engine.answer(chat_request("hello"))).failure is not None
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Messages:
    """What a person gets to see."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def say(self, text: str) -> None:
        """A line of information."""

    def warn(self, text: str) -> None:
        """A line that must be seen."""
        self.warnings.append(text)


@pytest.mark.parametrize(
    ("version", "without", "engine", "warning"),
    [
        ("0.30.0", "init_app_state", OfflineEngine, None),  # tested: no look at its source
        ("0.34.0", "", OfflineEngine, "is not one of the versions"),
        ("0.34.0", "init_app_state", PrivateServerEngine, "app_state.init_app_state (tested: 0.26"),
    ],
)
async def test_which_engine_for_which_vllm(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    version: str,
    without: str,
    engine: type,
    warning: str | None,
) -> None:
    write_vllm(tmp_path / "vllm", without=without)
    monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path / "vllm")
    installed = vllm_startup.InstalledVllm(version, cpu=True)
    monkeypatch.setattr(vllm_startup, "installed_vllm", lambda: installed)
    messages = Messages()
    request = EngineRequest(engine="offline", model="demo")
    selection = await select_engine(
        request, settings.load({"QCHAT_HOME": str(tmp_path)}), lambda: tmp_path / "log", messages
    )
    assert type(selection.engine) is engine
    assert selection.make_engine is not None and type(selection.make_engine()) is engine
    assert selection.kind == "offline"  # a run can be resumed by the other
    assert len(messages.warnings) == (warning is not None)
    assert all(str(warning) in text for text in messages.warnings)


async def test_a_vllm_that_lacks_a_server_s_parts_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vllm").mkdir()
    monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path / "vllm")
    with pytest.raises(EngineError, match=r"vLLM 0\.34\.0 lacks .*run_server") as error:
        await select_engine(
            EngineRequest(engine="offline", model="demo"),
            settings.load({"QCHAT_HOME": str(tmp_path)}),
            lambda: tmp_path / "log",
            Messages(),
        )
    assert error.value.exit_code == 3
