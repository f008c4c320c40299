"""The rule by which a server counts as stuck."""

import math

import pytest
from qchat.serve.supervision.stall_detector import (
    Observation,
    StallDetector,
    StallLimits,
    Verdict,
)

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


def test_progress_ends_a_stall(server: Server) -> None:
    assert server.look(100) is STALLED
    server.tokens += 1
    assert server.look() is FINE
    assert server.look(59) is FINE
    assert server.look() is STALLED


def test_a_server_without_requests_is_never_stuck(server: Server) -> None:
    assert server.look(10_000, pending=0) is FINE


def test_clients_that_give_up_and_try_again_keep_the_count(server: Server) -> None:
    """Each waits half a minute, the next comes ten seconds later; nothing is ever answered."""
    verdicts = []
    for _client in range(3):
        verdicts.append(server.look(30))
        server.look(10, pending=0)
    assert verdicts == [FINE, FINE, STALLED]
    assert server.look(61, pending=0) is FINE  # nobody asks any more


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
