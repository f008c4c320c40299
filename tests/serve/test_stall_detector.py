"""The rule by which a server counts as stuck, and what is observed for it."""

import math
import os
import signal
from pathlib import Path

import pytest
from qchat.serve.access import request_gauge
from qchat.serve.access.request_gauge import RequestGauge
from qchat.serve.supervision.progress_watch import ServingWatch
from qchat.serve.supervision.stall_detector import (
    Observation,
    StallDetector,
    StallLimits,
    Verdict,
)

from qchat.processes import alive

from .holders import SLEEPER, process
from .supervised import LINUX

FINE, STALLED, EXPIRED = Verdict.FINE, Verdict.STALLED, Verdict.EXPIRED


class Server:
    """Observed once a second; its API process beats."""

    def __init__(self, limits: StallLimits) -> None:
        self.detector = StallDetector(limits, longest_gap=2.0)
        self.now = 0.0
        self.tokens = 0
        self.beats = 0

    def look(self, seconds: int = 1, pending: int = 1, *, beats: bool = True) -> Verdict:
        verdict = FINE
        for _second in range(seconds):
            self.now += 1.0
            self.beats += beats
            seen = Observation(self.beats, pending, self.tokens)
            verdict = self.detector.observe(self.now, seen)
        return verdict


@pytest.fixture
def server() -> Server:
    server = Server(StallLimits(60.0, 600.0))
    server.look()
    return server


def test_said_at_one_minute_and_ended_at_ten_by_default() -> None:
    assert StallLimits.of(None) == StallLimits(60.0, 600.0)
    server = Server(StallLimits.of(None))
    server.look()
    assert server.look(59) is FINE
    assert server.look() is STALLED
    assert server.look(539) is STALLED
    assert server.look() is EXPIRED


def test_the_option_sets_both() -> None:
    limits = StallLimits.of(5.0)
    assert limits.announce == 5.0 and 5.0 <= limits.restart < 10.0
    assert StallLimits.of(0.0) == StallLimits(math.inf, math.inf)


def test_a_start_may_wait_for_the_network() -> None:
    assert StallLimits.of_start(None) == StallLimits.of(None)
    assert StallLimits.of_start(0.0) == StallLimits.of(0.0)
    assert StallLimits.of_start(5.0) == StallLimits.of(60.0)
    assert StallLimits.of_start(300.0) == StallLimits.of(300.0)


def test_progress_ends_a_stall(server: Server) -> None:
    assert server.look(100) is STALLED
    server.tokens += 1
    assert server.look() is FINE
    assert server.look(59) is FINE
    assert server.look() is STALLED


def test_a_server_without_requests_is_never_stuck(server: Server) -> None:
    assert server.look(10_000, pending=0) is FINE


@pytest.mark.parametrize("pause", [10, 200])
def test_clients_that_give_up_and_come_rarely_keep_the_count(server: Server, pause: int) -> None:
    """Each waits half a minute; nothing is ever answered."""
    verdicts = []
    for _client in range(20):
        verdicts.append(server.look(31))
        server.look(pause, pending=0)
    assert verdicts == [FINE, *[STALLED] * 18, EXPIRED]
    server.tokens += 1
    assert server.look() is FINE and server.detector.quiet == 0.0


def test_the_time_without_requests_proves_nothing(server: Server) -> None:
    server.look(30)
    assert server.look(10_000, pending=0) is FINE
    assert server.look(31) is STALLED


def test_an_api_process_that_does_not_run(server: Server) -> None:
    assert server.look(59, pending=0, beats=False) is FINE
    assert server.look(pending=0, beats=False) is STALLED
    assert server.detector.is_api_silent
    assert server.look(540, pending=0, beats=False) is EXPIRED
    assert server.look(pending=0) is FINE


def test_a_pause_of_the_whole_machine_is_not_the_servers(server: Server) -> None:
    server.now += 100_000.0
    assert server.look() is FINE
    assert server.detector.quiet <= 2.0


class Watched:
    """A server with a request gauge and one process; each look is a second later."""

    def __init__(self, folder: Path, pid: int) -> None:
        request_gauge.prepare(folder)
        self.gauge = RequestGauge(folder)
        self.gauge.set("has_engine", 1)
        self.now = 0.0
        limits = StallLimits(60.0, 600.0)
        self.watch = ServingWatch(folder, pid, "no such mark", limits, lambda: self.now)

    def look(self, seconds: int = 1) -> Verdict:
        verdict = FINE
        for _second in range(seconds):
            self.now += 1.0
            self.gauge.add("heartbeat_ns")
            verdict = self.watch.check()
        return verdict

    def client(self, seconds: int) -> None:
        """One that gives up."""
        self.gauge.begin()
        self.gauge.await_vllm(1)
        self.look(seconds)
        self.gauge.await_vllm(-1)
        self.gauge.end()


@LINUX
def test_a_stopped_engine_is_stuck_while_nobody_asks(tmp_path: Path) -> None:
    """Once one client has waited in vain, the others need not wait as long."""
    with process(SLEEPER) as engine:
        watched = Watched(tmp_path, engine.pid)
        os.kill(engine.pid, signal.SIGSTOP)
        assert watched.look(100) is FINE
        watched.client(5)
        assert watched.look(60) is STALLED
        assert f"a signal has stopped its process {engine.pid}" in watched.watch.description()
        assert watched.look(600) is EXPIRED
        os.kill(engine.pid, signal.SIGCONT)
        watched.gauge.add("generated")
        assert watched.look() is FINE and alive([engine.pid])


@LINUX
def test_an_engine_that_goes_on_without_requests_is_not_stuck(tmp_path: Path) -> None:
    with process(SLEEPER) as engine:
        watched = Watched(tmp_path, engine.pid)
        os.kill(engine.pid, signal.SIGSTOP)
        watched.client(5)
        os.kill(engine.pid, signal.SIGCONT)
        assert watched.look(1000) is FINE
