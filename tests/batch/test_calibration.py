"""`--low-priority` without a number: what is measured at the server."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from qchat.batch.engines import calibration
from qchat.batch.engines.calibration import Calibration
from qchat.batch.engines.concurrency import FixedConcurrency
from qchat.batch.engines.http import HttpEngine
from qchat.batch.engines.live_traffic import QUIET_SECONDS, LiveTraffic, Turns
from qchat.batch.engines.metrics import ServerLoad
from qchat.batch.engines.pacing import RequestPacer
from qchat.batch.engines.servers import ServerPool
from qchat.batch.low_priority import DEFAULT_IN_FLIGHT, MIN_MEASURED_ROWS
from qchat.batch.request import CHAT, COMPLETIONS, EMBEDDINGS, Outcome, Request

from qchat.api.endpoint import Endpoint
from qchat.api.priority import HEADER
from tests import faults
from tests.batch.chat_request import chat_request
from tests.batch.commands import batch, once_each, write

IDLE = ServerLoad(0, 0, None, 0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pretended server below has a clock of its own."""
    monkeypatch.setattr(calibration, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(calibration, "_SETTLE_SECONDS", 0.0)


@dataclass
class Server:
    """A pretended server, whose time to first token is `seconds(rows)`."""

    seconds: Callable[[int], float]
    load: ServerLoad | None = IDLE
    window: int = 64
    rows: int = MIN_MEASURED_ROWS
    answers: Callable[[int], bool] = lambda _rows: True
    now: float = 100.0
    asked: list[tuple[str, object]] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    on_ask: Callable[[], None] = lambda: None
    loads: list[ServerLoad | None] = field(default_factory=list)  # before `load`
    leaves_at: int | None = None  # so many rows end once they are asked beside

    def __post_init__(self) -> None:
        self.traffic = LiveTraffic(DEFAULT_IN_FLIGHT, clock=lambda: self.now)
        self.turns = Turns(self.traffic)
        self._release = asyncio.Event()

    def clock(self) -> float:
        """Goes on a little whenever it is looked at."""
        self.now += 1e-5
        return self.now

    async def ask(self, endpoint: str, body: object) -> bool:
        self.asked.append((endpoint, body))
        rows = self.turns.running
        if rows == self.leaves_at:
            self._release.set()
        if rows not in self.levels:
            self.levels.append(rows)
        await asyncio.sleep(0)
        self.now += self.seconds(rows)
        self.on_ask()
        return self.answers(rows)

    async def read(self, _families: object) -> ServerLoad | None:
        return self.loads.pop() if self.loads else self.load

    async def run(self, row: Request | None = None, rows: int = 100) -> None:
        """Measure it, with so many rows that end after that."""
        measuring = Calibration(
            self.traffic,
            self.turns,
            lambda: self.window,
            lambda: self.rows,
            self.ask,
            self.read,
            self.messages.append,
            "http://gpu1",
            self.clock,
        )
        tasks = [asyncio.create_task(self.turns.run(self._answer)) for _row in range(rows)]
        await asyncio.sleep(0.01)
        assert self.turns.running == 0  # until the server was looked at
        self.traffic.observe(self.load, 0)
        measuring.offer(chat_request("row") if row is None else row)
        async with asyncio.timeout(30):
            await measuring.run()
            assert self.traffic.held is None
            self._release.set()
            await asyncio.gather(*tasks)

    async def _answer(self) -> Outcome:
        await self._release.wait()
        return Outcome(body={})


async def test_it_takes_the_last_number_beside_which_live_requests_hardly_wait() -> None:
    server = Server(lambda rows: 0.01 * (1 + rows / 50))
    await server.run()
    assert server.levels == [0, 2, 4, 8, 16]  # beside which they wait too long
    assert server.traffic.in_flight == 8 and server.traffic.withdrawn == 0
    assert server.messages == [
        "Measuring how many rows http://gpu1 takes beside live requests.",
        "http://gpu1: beside live requests 8 rows are in flight at most.",
    ]


async def test_a_server_that_bears_all_gets_no_more_than_the_window() -> None:
    server = Server(lambda _rows: 0.01, window=40)
    await server.run()
    assert server.levels[-1] == 32 and server.traffic.in_flight == 32


async def test_where_two_are_too_many_one_is_left() -> None:
    server = Server(lambda rows: 0.01 if rows == 0 else 0.02)
    await server.run()
    assert server.levels == [0, 2] and server.traffic.in_flight == 1
    assert server.messages[-1] == "http://gpu1: beside live requests 1 row is in flight at most."


async def test_each_number_is_measured_again_as_machines_are_slower_for_a_while() -> None:
    server = Server(lambda rows: 0.01)
    looks: list[int] = []

    def seconds(rows: int) -> float:
        if not looks or looks[-1] != rows:
            looks.append(rows)
        is_slow = looks.count(0) == 2  # from the second look at the idle server to the third
        return (2 if is_slow else 1) * 0.01 * (1 + rows / 50)

    server.seconds = seconds
    await server.run()
    assert looks == [0, 2, 4, 8, 16] * calibration.PASSES
    assert server.traffic.in_flight == 8


async def test_a_live_request_stops_it_until_it_is_quiet_again() -> None:
    server = Server(lambda rows: 0.01 * (1 + rows / 50))
    seen: list[int | None] = []

    def come_at_eight() -> None:
        if not seen and server.turns.running == 8:
            server.traffic.observe(ServerLoad(0, 0, None, 0, 1, 1), 8)
            server.turns.update()
            seen.append(server.traffic.most)
            asyncio.get_running_loop().call_later(0.05, leave)

    def leave() -> None:
        seen.append(server.turns.running)
        server.now += QUIET_SECONDS + 1
        server.traffic.observe(ServerLoad(0, 0, None, 0, 0, 1), 4)
        server.turns.update()

    server.on_ask = come_at_eight
    await server.run()
    assert seen == [DEFAULT_IN_FLIGHT, DEFAULT_IN_FLIGHT]
    assert server.traffic.in_flight == 8
    assert len(server.messages) == 2


@pytest.mark.parametrize(
    ("refused_at", "allowed"),
    [((0,), DEFAULT_IN_FLIGHT), ((2,), DEFAULT_IN_FLIGHT), ((8, 16), 4)],
)
async def test_a_refusal_ends_it(refused_at: Iterable[int], allowed: int) -> None:
    server = Server(lambda _rows: 0.01, answers=lambda rows: rows not in tuple(refused_at))
    await server.run()
    assert server.traffic.in_flight == allowed


@pytest.mark.parametrize("load", [ServerLoad(3, 0, None, 0), ServerLoad(0, 1, None, 0), None])
async def test_a_server_with_other_requests_or_without_figures_is_not_measured(
    load: ServerLoad | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests of batches elsewhere are no live ones, and would hide what ours cost."""
    monkeypatch.setattr(calibration, "_IDLE_TIMEOUT", 0.002)
    server = Server(lambda _rows: 0.01)
    server.loads = [load] * 1000
    await server.run()
    assert not server.asked and server.traffic.in_flight == DEFAULT_IN_FLIGHT


async def test_a_server_counts_requests_a_moment_longer() -> None:
    """Those that were withdrawn for live ones before, as well."""
    server = Server(lambda rows: 0.01 * (1 + rows / 50))
    server.loads = [ServerLoad(4, 0, None, 0), ServerLoad(1, 0, None, 0)]
    await server.run()
    assert server.traffic.in_flight == 8


async def test_another_batch_that_begins_meanwhile_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_IDLE_TIMEOUT", 0.002)
    server = Server(lambda _rows: 0.01)

    def begin_at_eight() -> None:
        if server.turns.running == 8:
            server.loads = [ServerLoad(100, 0, None, 0)] * 10_000

    server.on_ask = begin_at_eight
    await server.run()
    assert server.levels == [0, 2, 4, 8] and server.traffic.in_flight == 4


async def test_few_rows_are_not_worth_it() -> None:
    server = Server(lambda _rows: 0.01, rows=MIN_MEASURED_ROWS - 1)
    await server.run()
    assert not server.asked


async def test_rows_that_were_answered_meanwhile_do_not_end_it() -> None:
    server = Server(lambda rows: 0.01 * (1 + rows / 50))

    def answer() -> None:
        server.rows = max(server.rows - 1, MIN_MEASURED_ROWS // 2)

    server.on_ask = answer
    await server.run()
    assert server.traffic.in_flight == 8


async def test_after_some_time_what_is_known_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda _rows: 1.0)  # with four clients, 30 requests take about 30 s
    await server.run()
    assert server.levels == [0, 2] and server.traffic.in_flight == 2
    server = Server(lambda _rows: 10.0)
    await server.run()
    assert server.levels == [0] and server.traffic.in_flight == DEFAULT_IN_FLIGHT


async def test_rows_that_do_not_stay_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_FILL_TIMEOUT", 0.002)
    server = Server(lambda _rows: 0.01)
    server.leaves_at = 16
    await server.run()
    assert server.levels == [0, 2, 4, 8, 16] and server.traffic.in_flight == 8


async def test_when_the_rows_are_out_it_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_FILL_TIMEOUT", 0.002)
    server = Server(lambda _rows: 0.01)
    await server.run(rows=5)
    assert server.traffic.in_flight == 4


async def test_the_clients_ask_what_the_rows_ask() -> None:
    row = chat_request("row")
    text = Request(0, 1, "id", row.kind, COMPLETIONS, {"model": "m", "prompt": "a"}, {}, "d" * 32)
    server = Server(lambda _rows: 0.01, window=2)
    await server.run(text)
    body = {"model": "m", "max_tokens": 1, "prompt": "Hello"}
    assert {json.dumps(one) for _endpoint, one in server.asked} == {json.dumps(body)}
    assert {endpoint for endpoint, _body in server.asked} == {COMPLETIONS}
    vectors = replace(text, endpoint=EMBEDDINGS)
    server = Server(lambda _rows: 0.01)
    await server.run(vectors)
    assert not server.asked and server.traffic.in_flight == DEFAULT_IN_FLIGHT


def engine(url: str, messages: list[str], pacer: RequestPacer | None = None) -> HttpEngine:
    traffic = LiveTraffic(DEFAULT_IN_FLIGHT)
    concurrency = FixedConcurrency(64)
    return HttpEngine(Endpoint(url), concurrency, pacer=pacer, traffic=traffic, say=messages.append)


async def test_servers_of_few_rows_and_of_a_rate_are_not_held(server: faults.Running) -> None:
    messages: list[str] = []
    few, slow = engine(server.base_url, messages), engine(server.base_url, [], RequestPacer(60))
    for one, rows in ((few, MIN_MEASURED_ROWS - 1), (slow, 10 * MIN_MEASURED_ROWS)):
        await one.start()
        one.expect(rows)
        assert one.window == 64
        await one.close()
    pool = ServerPool([engine(server.base_url, []), engine(server.base_url, [])])
    await pool.start()
    pool.expect(2 * MIN_MEASURED_ROWS - 2)
    assert pool.window == 128
    pool.expect(2 * MIN_MEASURED_ROWS)
    assert pool.window == 2
    pool.expect(0)  # the run is over
    assert pool.window == 128
    await pool.close()


async def test_in_a_pool_a_server_that_is_measured_gets_its_rows_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"SAMPLES": 20, "MIN_SAMPLES": 20, "PASSES": 1, "SLOWER": 100, "TOO_SLOW": 100}
    for name, value in values.items():
        monkeypatch.setattr(calibration, name, value)
    with faults.running(answers="latency=0.1") as one, faults.running(answers="latency=0.1") as two:
        messages: list[str] = []
        measured, free = engine(one.base_url, messages), engine(two.base_url, [])
        pool = ServerPool([measured, free])
        await pool.start()
        measured.expect(10 * MIN_MEASURED_ROWS)

        async def ask() -> None:
            while len(messages) < 2:
                await pool.answer(chat_request("row"))

        async with asyncio.timeout(30):
            await asyncio.gather(*(ask() for _number in range(80)))
        assert free.answered
        assert messages[1].endswith("beside live requests 64 rows are in flight at most.")
        await pool.close()


def test_it_ends_with_the_rows(
    home: Path, server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `--verify` asks comes after that, and has the server for itself."""
    monkeypatch.setattr(calibration, "MIN_SAMPLES", 1 << 20)
    monkeypatch.setattr(calibration, "SAMPLES", 1 << 20)
    monkeypatch.setattr(calibration, "TIMEOUT", 2.0)
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(MIN_MEASURED_ROWS)))
    server.set_answers("latency=0.001")
    args = ("--base-url", server.url, "--low-priority", "--verify", "20", "--temperature", "0")
    assert batch("in.jsonl", *args) == 0
    bodies = [record.body or {} for record in server.log.records]
    last_probe = max(n for n, body in enumerate(bodies) if body.get("max_tokens") == 1)
    rows = [n for n, body in enumerate(bodies) if body.get("max_tokens") != 1]
    assert sum(n > last_probe for n in rows) >= 20


def test_a_whole_run_measures_and_tells_it(
    home: Path,
    server: faults.Running,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("SAMPLES", 20), ("MIN_SAMPLES", 10), ("SECONDS", 0.2)):
        monkeypatch.setattr(calibration, name, value)
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(MIN_MEASURED_ROWS)))
    server.set_answers("latency=0.05")
    args = ("--base-url", server.url, "--concurrency", "16", "--progress", "json")
    assert batch("--low-priority", "in.jsonl", *args) == 0
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    [last] = [event for event in events if event.get("servers")][-1:]
    allowed = last["servers"][0]["yielding"]["allowed"]
    texts = [event["text"] for event in events if event["event"] == "message"]
    assert any(f"{server.url}/v1: beside live requests {allowed} row" in text for text in texts)
    once_each("in.results.jsonl", MIN_MEASURED_ROWS)
    probes = [r for r in server.log.records if (r.body or {}).get("max_tokens") == 1]
    assert len(probes) >= 2 * 20
    assert all(record.headers.get(HEADER.lower()) == "low" for record in probes)
    assert all((record.body or {}).get("priority") is None for record in probes)
    assert last["servers"][0]["answered"] == MIN_MEASURED_ROWS
    assert {record.path for record in probes} == {CHAT}
