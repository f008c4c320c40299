"""How many requests to keep in flight: found by what a server tells, or by trying."""

import heapq
import random
import resource
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch.engines.concurrency import INITIAL_LIMIT, AdaptiveConcurrency, FixedConcurrency
from qchat.batch.engines.metrics import ServerLoad, parse_load

from tests import faults
from tests.batch.commands import batch, once_each, write
from tests.faults.metrics import Engine


@dataclass
class Server:
    """Answers `slots` requests at once, each in about a second; simulated time."""

    slots: int
    tells: bool = True
    seconds: float = 1.0
    now: float = 0.0
    running: list[float] = field(default_factory=list)
    waiting: int = 0
    answered: int = 0

    def ask(self) -> None:
        if len(self.running) < self.slots:
            heapq.heappush(self.running, self.now + self.seconds * random.uniform(0.7, 1.3))
        else:
            self.waiting += 1

    def work(self, control: AdaptiveConcurrency, seconds: float) -> None:
        """Go on for so long, asked as many at once as `control` says."""
        look = self.now + 0.5
        end = self.now + seconds
        while self.now < end:
            while len(self.running) + self.waiting < control.limit:
                self.ask()
            in_flight = len(self.running) + self.waiting
            if self.tells and self.now >= look:
                look = self.now + 0.5
                control.observe(ServerLoad(len(self.running), self.waiting, 0.5, 0), in_flight)
            self.now = heapq.heappop(self.running)
            self.answered += 1
            control.record_answer(10)
            if self.waiting:
                self.waiting -= 1
                heapq.heappush(self.running, self.now + self.seconds * random.uniform(0.7, 1.3))


@pytest.mark.parametrize("slots", [1, 16, 128, 1024])
def test_a_server_that_tells_its_load_is_full_and_its_queue_short(slots: int) -> None:
    random.seed(slots)
    server = Server(slots)
    control = AdaptiveConcurrency(clock=lambda: server.now)
    server.work(control, 60)
    assert slots < control.limit <= 2.5 * slots + 16
    before = server.answered
    server.work(control, 20)
    assert server.answered - before > 0.9 * 20 * slots  # never idle


@pytest.mark.parametrize("slots", [16, 128, 1024])
def test_a_server_that_tells_nothing_is_full_too(slots: int) -> None:
    random.seed(slots)
    server = Server(slots, tells=False)
    control = AdaptiveConcurrency(clock=lambda: server.now)
    server.work(control, 200)
    before, limits = server.answered, []
    for _second in range(60):
        server.work(control, 1)
        limits.append(control.limit)
    assert server.answered - before > 0.85 * 60 * slots
    assert max(limits) <= max(8 * slots, 2 * INITIAL_LIMIT)


def test_refusals_make_it_less_and_then_more_again_step_by_step() -> None:
    now = 0.0
    control = AdaptiveConcurrency(clock=lambda: now)
    for second in range(3):
        now = float(second)
        for _many in range(50):
            control.record_refusal()
    assert control.limit == round(
        round(INITIAL_LIMIT * 0.8) * 0.8
    )  # once for each second that ended
    least = control.limit
    idle = ServerLoad(running=least, waiting=0, kv_cache=None, tokens=0)
    control.observe(idle, least)
    assert least < control.limit <= 1.05 * least + 2
    now = 100.0
    before = control.limit
    control.observe(ServerLoad(before, 0, None, 0), before)
    assert control.limit == 2 * before


def test_a_stray_refusal_says_nothing_about_room() -> None:
    now = 0.0
    control = AdaptiveConcurrency(clock=lambda: now)
    for n in range(1000):
        now = n / 50
        control.observe(ServerLoad(INITIAL_LIMIT // 2, INITIAL_LIMIT // 2, None, 0), INITIAL_LIMIT)
        if n % 20 == 0:
            control.record_refusal()
        else:
            control.record_answer(5)
    assert control.limit == INITIAL_LIMIT


@given(
    st.lists(
        st.one_of(
            st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10_000)),
            st.integers(0, 10_000),
            st.none(),
        )
    ),
    st.integers(1, 5000),
)
def test_the_limit_stays_within_its_bounds(
    events: list[tuple[float, float, int] | int | None], most: int
) -> None:
    now = 0.0
    control = AdaptiveConcurrency(most, clock=lambda: now)
    for event in events:
        now += 0.3
        if event is None:
            control.record_refusal()
        elif isinstance(event, int):
            control.record_answer(event)
        else:
            control.observe(ServerLoad(event[0], event[1], None, 0), event[2])
        assert 1 <= control.limit <= most


def test_a_fixed_limit_never_changes() -> None:
    fixed = FixedConcurrency(7)
    fixed.record_refusal()
    fixed.record_answer(3)
    assert not fixed.observe(ServerLoad(7, 0, None, 0), 7)
    assert fixed.limit == 7


def test_what_vllm_tells_is_read() -> None:
    text = Engine(running=3, waiting=2, generated=50, prompted=7).exposition("demo", 12)
    assert parse_load(text) == ServerLoad(3, 2, 0.25, 57)
    assert parse_load(text + text.replace('engine="0"', 'engine="1"')) == ServerLoad(
        6, 4, 0.25, 114
    )
    assert parse_load("") is None
    assert parse_load("vllm:num_requests_running many\nvllm:num_requests_waiting NaN\n") is None


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("slots", [8, 200])
def test_a_run_finds_what_a_server_can_take(slots: int) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(3000)))
    limit = [] if slots > 8 else ["--limit", "300"]
    with faults.running(answers=f"latency={0.1 if limit else 0.4}", slots=slots) as server:
        assert batch("in.jsonl", "--base-url", server.url, *limit) == 0
        once_each("in.results.jsonl", 300 if limit else 3000)
        if slots == 8:
            # On a busy machine the first answers come before the last of the first requests left.
            assert 10 * slots < server.log.max_in_flight <= INITIAL_LIMIT
        else:
            assert slots < server.log.max_in_flight < 3 * slots


@pytest.mark.usefixtures("home")
def test_a_number_beyond_what_the_system_allows() -> None:
    write("in.jsonl", "a")
    arguments = ["batch", "in.jsonl", "--base-url", "http://127.0.0.1:9", "--concurrency"]

    def less() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))

    def run(number: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "qchat", *arguments, number]
        return subprocess.run(line, capture_output=True, text=True, preexec_fn=less)

    many = run("5000")
    assert many.returncode == 2
    assert "ulimit -n" in many.stderr
    assert run("300").returncode == 3  # room was made; nothing answers there
    assert run("0").returncode == 2
    assert "or auto" in run("few").stderr
