"""`--servers FILE` with a URL a line, for fleets that come and go."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.fleet import FleetPool
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.pacing import RequestPacer
from qchat.batch.engines.server_file import is_toml, origin_of, read_servers

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, EngineError
from qchat.settings import load
from tests import faults
from tests.batch.chat_request import chat_request
from tests.batch.commands import batch, once_each, write


class Messages:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.say = self.warn = self.texts.append


def fleet(
    path: Path,
    messages: Messages,
    pacer: RequestPacer | None = None,
    *,
    model: str | None = None,
) -> FleetPool:
    return FleetPool(
        (),
        lambda: read_servers(path, load()),
        lambda endpoint: HttpEngine(endpoint, FixedConcurrency(4), pacer=pacer),
        messages,
        model=model,
    )


def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the servers that are asked for their models, from now on."""
    original, asked = HttpEngine.models, list[str]()

    async def models(engine: HttpEngine) -> list[str]:
        asked.append(engine.base_url)
        return await original(engine)

    monkeypatch.setattr(HttpEngine, "models", models)
    return asked


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


def test_lines_are_read_and_bad_ones_are_told(home: Path) -> None:
    path = Path("fleet.txt")
    path.write_text(
        "# the fleet\nhttp://gpu1:8000\n\ngpu2:8000\nhttp://gpu3:8000/v1  # new\n"
        "http://gpu1:8000/\nhttp://user:pw@gpu4\n"
    )
    servers = read_servers(path, load())
    urls = [endpoint.base_url for endpoint in servers.endpoints]
    assert urls == ["http://gpu1:8000/v1", "http://gpu3:8000/v1"]
    assert [problem.partition(": ")[0] for problem in servers.problems] == [
        "fleet.txt:4",
        "fleet.txt:6",
        "fleet.txt:7",
    ]
    assert "pw" not in "".join(servers.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[servers.a]\nbase_url = 'http://a'\n", True),
        ("# x\nservers.a.base_url = 'http://a'\n", True),
        ("\ufeff[servers.a]\nbase_url = 'http://a'\n", True),
        ("# x\nhttp://a:8000\n", False),
        ("nonsense\n", False),
        ("", False),
    ],
)
def test_both_kinds_of_file_are_known(home: Path, text: str, expected: bool) -> None:
    Path("f").write_text(text)
    assert is_toml(Path("f")) is expected


def test_a_byte_order_mark_is_no_part_of_the_first_server(home: Path) -> None:
    Path("fleet.txt").write_text("\ufeffhttp://gpu1:8000\n")
    assert not is_toml(Path("fleet.txt"))
    servers = read_servers(Path("fleet.txt"), load())
    assert [endpoint.base_url for endpoint in servers.endpoints] == ["http://gpu1:8000/v1"]
    assert servers.problems == []


def test_a_file_that_is_too_large_is_refused_not_cut(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "a"})
    Path("fleet.txt").write_text("http://127.0.0.1:9\n" + "#" * (1 << 20))
    assert batch("in.jsonl", "--servers", "fleet.txt") == 2
    assert "fleet.txt is larger than 1 MiB" in capfd.readouterr().err


_LISTS = ("http://127.0.0.1:9\n", '[servers.a]\nbase_url = "http://127.0.0.1:9"\n')


@pytest.mark.parametrize("text", _LISTS)
@pytest.mark.parametrize("mode", [0o622, 0o660, 0o602])
def test_a_file_that_others_can_write_is_refused(
    home: Path, mode: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "a"})
    Path("fleet.txt").write_text(text)
    Path("fleet.txt").chmod(mode)
    assert batch("in.jsonl", "--servers", "fleet.txt") == 2
    assert "chmod go-w fleet.txt" in capfd.readouterr().err


@pytest.mark.skipif(
    os.getuid() != 0, reason="a file of another user is made by chown, which only root may"
)
@pytest.mark.parametrize("text", _LISTS)
def test_a_file_of_another_user_is_refused(
    home: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "a"})
    Path("fleet.txt").write_text(text)
    os.chown("fleet.txt", 12345, 12345)
    assert batch("in.jsonl", "--servers", "fleet.txt") == 2
    assert "another user" in capfd.readouterr().err


def test_the_settings_of_the_user_may_be_the_list(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"prompt": "a"})
    config = home.parent / "home" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(_LISTS[1])
    config.chmod(0o664)
    assert batch("in.jsonl", "--servers", str(config), "--wait", "0") == 3
    assert "can't be reached" in capfd.readouterr().err


def test_an_origin_has_its_port_written_or_not() -> None:
    assert origin_of("https://lab/v1") == origin_of("https://LAB:443/other")
    assert origin_of("http://lab/v1") == origin_of("http://lab:80/v1")
    different = ("https://lab/v1", "http://lab/v1", "http://lab:443/v1", "https://lab:80/v1")
    assert len(set(map(origin_of, different))) == 4


def test_a_key_goes_only_where_a_profile_or_the_command_line_names_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_KEY", "lab-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "openai-secret")
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(40)))
    with (
        faults.running(answers="latency=0.05") as named,
        faults.running(answers="latency=0.05") as other,
    ):
        config = home.parent / "home" / "config" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'[servers.lab]\nbase_url = "{named.url}"\napi_key_env = "LAB_KEY"\n')
        Path("fleet.txt").write_text(f"{named.url}\n{other.url}\nhttps://api.openai.com/v1\n")
        servers = read_servers(Path("fleet.txt"), load()).endpoints
        assert [bool(endpoint.api_key) for endpoint in servers] == [True, False, False]
        Path("fleet.txt").write_text(f"{named.url}\n{other.url}\n")
        assert batch("in.jsonl", "--servers", "fleet.txt", "--concurrency", "2") == 0
        assert named.log.authorizations and not other.log.authorizations
        config.unlink()
        named.reset_log()
        key = ("--api-key-env", "LAB_KEY", "--concurrency", "2", "--restart")
        args = ("in.jsonl", "--servers", "fleet.txt", *key)
        assert batch(*args) == 2
        assert "stands in a profile" in capfd.readouterr().err
        assert batch(*args, "--base-url", named.url) == 0
        assert named.log.authorizations and not other.log.authorizations
    once_each("in.results.jsonl", 40)


async def test_servers_join_and_leave_while_it_runs(home: Path) -> None:
    path, messages = Path("fleet.txt"), Messages()
    with faults.running() as one, faults.running() as two:
        path.write_text(f"{one.url}\n")
        pool = fleet(path, messages)
        await pool.start()
        assert await pool.models() == ["demo"]
        path.write_text(f"{one.url}\n{two.url}\nbad line\n")
        await until(lambda: pool.window == 8)
        assert sum("fleet.txt:3" in text for text in messages.texts) == 1
        path.write_text(f"{two.url}\n")
        await until(lambda: len(pool.states()) == 1)
        one.reset_log()
        assert all([(await pool.answer(chat_request(f"q{n}"))).answered for n in range(8)])
        assert one.log.records == []
        await pool.close()


async def test_nobody_waits_for_a_server_that_left_while_it_had_requests(home: Path) -> None:
    path, messages, pacer = Path("fleet.txt"), Messages(), RequestPacer(rpm=1)
    with faults.running() as two:
        with faults.running() as one:
            path.write_text(f"{one.url}\n")
            pool = fleet(path, messages, pacer)
            await pool.start()
            await pool.models()
            assert (await pool.answer(chat_request("first"))).answered
            second = asyncio.create_task(pool.answer(chat_request("second")))
            path.write_text(f"{two.url}\n")
            await until(lambda: any("servers are listed" in text for text in messages.texts))
        pacer.rpm = None  # the second goes out now, and finds nobody
        failure = (await second).failure
        assert failure is not None and failure.code is Code.UNREACHABLE
        await until(lambda: pool.states()[0].up)
        await pool.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_empty_file_pauses_and_nothing_is_lost(home: Path) -> None:
    path, messages = Path("fleet.txt"), Messages()
    path.write_text("# nobody yet\n")
    with faults.running() as server:
        pool = fleet(path, messages)
        await pool.start()
        listing = asyncio.create_task(pool.models())
        await until(lambda: messages.texts)
        path.write_text(f"{server.url}\n")
        assert await listing == ["demo"]
        path.write_text("")
        await until(lambda: pool.states() == [])
        row = asyncio.create_task(pool.answer(chat_request("waits")))
        assert await pool.alive()
        await asyncio.sleep(0)
        assert not row.done()
        path.write_text(f"{server.url}\n")
        outcome = await row
        while not outcome.answered:  # it is listed, and has not been probed yet
            assert outcome.failure is not None and outcome.failure.code is Code.UNREACHABLE
            await asyncio.sleep(0.05)
            outcome = await pool.answer(chat_request("waits"))
        await pool.close()
    assert sum("No server is listed" in text for text in messages.texts) == 2


async def test_servers_that_are_still_starting_are_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.batch.engines.fleet.READ_INTERVAL", 0.02)
    path, messages = Path("fleet.txt"), Messages()
    with faults.running() as late, faults.running() as gone:
        await asyncio.to_thread(late.down)
        path.write_text(f"{late.url}\n{gone.url}\n")
        await asyncio.to_thread(gone.down)
        pool = fleet(path, messages)
        await pool.start()
        asked = probes(monkeypatch)
        listing = asyncio.create_task(pool.models())
        await until(lambda: len(asked) > 4)
        assert not listing.done()
        assert pool.unanswered == [late.base_url, gone.base_url]
        await asyncio.to_thread(late.up)
        async with asyncio.timeout(30):
            assert await listing == ["demo"]
        assert pool.description == "1 of 2 servers"
        await pool.close()


def test_servers_that_do_not_come_are_waited_for_as_long_as_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("qchat.batch.engines.fleet.READ_INTERVAL", 0.02)
    monkeypatch.setattr("qchat.batch.engines.selection.WAIT_NOTICE", 0.1)
    write("in.jsonl", {"prompt": "a"})
    with faults.running() as gone:
        Path("fleet.txt").write_text(f"{gone.url}\n")
    assert batch("in.jsonl", "--servers", "fleet.txt", "--wait", "1s") == 3
    err = capfd.readouterr().err
    assert err.count(f"Waiting for {gone.base_url}\n") == 1
    assert f"{gone.base_url} can't be reached" in err


async def test_a_server_that_refuses_at_the_start_is_left_out_and_told_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = probes(monkeypatch)
    monkeypatch.setattr("qchat.batch.engines.servers.PROBE_INTERVAL", 0.02)
    path, messages = Path("fleet.txt"), Messages()
    with (
        faults.running(api_key="secret") as closed,
        faults.running(models=("other",)) as other,
        faults.running() as server,
    ):
        path.write_text(f"{closed.url}\n{other.url}\n{server.url}\n")
        pool = fleet(path, messages, model="demo")
        await pool.start()
        assert await pool.models() == ["demo"]
        assert pool.description == "1 of 3 servers"
        assert sum("wants a key" in text for text in messages.texts) == 1
        await until(lambda: min(asked.count(one.base_url) for one in (closed, other)) > 3)
        assert sum("does not offer demo" in text for text in messages.texts) == 1
        assert len(messages.texts) == 2
        await pool.close()


async def test_where_all_refuse_the_start_ends(home: Path) -> None:
    path, messages = Path("fleet.txt"), Messages()
    with faults.running(api_key="secret") as one, faults.running(api_key="secret") as two:
        path.write_text(f"{one.url}\n{two.url}\n")
        pool = fleet(path, messages)
        await pool.start()
        with pytest.raises(EngineError, match="wants a key"):
            await pool.models()
        await pool.close()
    assert messages.texts == []


async def test_what_can_t_be_read_while_it_runs_keeps_the_servers(home: Path) -> None:
    path, messages = Path("fleet.txt"), Messages()
    with faults.running() as server:
        path.write_text(f"{server.url}\n")
        pool = fleet(path, messages)
        await pool.start()
        await pool.models()
        path.chmod(0o666)
        await until(lambda: any("chmod" in text for text in messages.texts))
        assert (await pool.answer(chat_request("still"))).answered
        path.unlink()
        await until(lambda: any("no file" in text for text in messages.texts))
        assert (await pool.answer(chat_request("and still"))).answered
        await pool.close()


def test_a_run_goes_on_while_its_fleet_changes(home: Path) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(60)))
    with (
        faults.running(answers="latency=0.2") as one,
        faults.running(answers="latency=0.2") as two,
    ):
        path = Path("fleet.txt")
        path.write_text(f"{one.url}\n")

        def change() -> None:
            deadline = time.monotonic() + 30
            while len(one.log.records) < 8 and time.monotonic() < deadline:
                time.sleep(0.02)
            path.write_text(f"{two.url}\n")

        changing = threading.Thread(target=change)
        changing.start()
        assert batch("in.jsonl", "--servers", "fleet.txt", "--concurrency", "2") == 0
        changing.join()
        assert two.log.records
    once_each("in.results.jsonl", 60)


def test_the_named_server_stays(home: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1")
    pool = FleetPool(
        [endpoint],
        lambda: read_servers(Path("fleet.txt"), load()),
        lambda one: HttpEngine(one, FixedConcurrency(4)),
        Messages(),
    )
    Path("fleet.txt").write_text("")

    async def start() -> int:
        await pool.start()
        count = len(pool.states())
        await pool.close()
        return count

    assert asyncio.run(start()) == 1
