"""`qchat doctor` on servers: good ones, those that fail, and those that somebody stands before."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve import records
from qchat.serve.doctor import sections as doctor_sections
from qchat.serve.doctor import server as doctor_server
from qchat.serve.doctor.finding import Finding, Level
from qchat.serve.doctor.server import Arrivals, Target
from qchat.serve.keys import MIN_LENGTH
from qchat.serve.records import ServerRecord, ServerRegistry

from qchat.api import endpoint as wire
from qchat.api import stream as answer
from qchat.api.endpoint import Endpoint, Secret
from qchat.settings import Paths
from tests import faults
from tests.nginx import plain_proxy

from .findings import by_check
from .stand_in import RECORD

KEY = "k" * MIN_LENGTH
STREAM = "latency=0.05;rate=100;length=30"


def target(url: str, key: str | None = None, model: str | None = None) -> Target:
    return Target(Endpoint(f"{url}/v1", None if key is None else Secret(key), model), RECORD)


def test_a_good_one() -> None:
    with faults.running(answers=STREAM, api_key=KEY) as server:
        found = by_check(doctor_server.server(target(server.url, KEY), 10))
    assert {one.level for one in found.values()} == {Level.OK}
    assert found["health"].figures["health_ms"] > 0
    assert "accepts the key" in found["models"].text
    assert "refuses who has no key" in found["key_needed"].text
    assert found["stream"].figures["pieces"] == 30
    assert 30 < found["stream"].figures["tokens_per_s"] < 110


@pytest.mark.parametrize(
    ("order", "check", "level"),
    [
        ("500", "server_error", "problem"),
        ("503", "overloaded", "problem"),
        ("hang:seconds=5", "no_progress", "problem"),
        ("reset", "disconnected", "problem"),
        ("redirect", "redirected", "problem"),
        ("200_garbage", "bad_response", "problem"),
        ("200_wrong_shape", "chat", "problem"),
        ("null_content", "chat", "warning"),
        ("hang_mid_stream:seconds=5,skip=1", "no_progress", "problem"),
        ("cut_stream:skip=1", "disconnected", "problem"),
        ("slow_loris:seconds=0.1", "no_progress", "problem"),
        ("slow_loris:seconds=0.1,skip=1", "no_progress", "problem"),
    ],
)
def test_one_that_fails(order: str, check: str, level: str) -> None:
    with faults.running(order, answers=STREAM) as server:
        found = by_check(doctor_server.server(target(server.url), 0.5))
    assert found["health"].level is Level.OK
    assert found[check].level == level
    assert found[check].fix == "qchat logs demo --errors"


def test_a_key_that_is_wrong_or_protects_nothing() -> None:
    with faults.running(api_key=KEY) as server:
        wrong = by_check(doctor_server.server(target(server.url, "x" * MIN_LENGTH), 5))
        none = by_check(doctor_server.server(target(server.url), 5))
    assert wrong["unauthorized"].level is none["unauthorized"].level is Level.PROBLEM
    assert "refused the key" in wrong["unauthorized"].text
    assert "wants a key" in none["unauthorized"].text
    with faults.running() as server:
        found = by_check(doctor_server.server(target(server.url, KEY), 5))
    assert found["key_needed"].level is Level.WARNING


def test_a_server_that_others_reach() -> None:
    """In clear text and open: the endpoint is this machine's by its address in the network."""
    with faults.running() as server:
        seen = replace(target(server.url).endpoint, api_key=None)
        away = Target(_Elsewhere(seen.base_url))
        found = by_check(doctor_server.server(away, 5))
        assert "Everybody who reaches" in found["key_needed"].text
        found = by_check(
            doctor_server.server(Target(replace(away.endpoint, api_key=Secret(KEY))), 5)
        )
        assert found["tls"].level is Level.WARNING and KEY not in found["tls"].text


class _Elsewhere(Endpoint):
    """As if it were not this machine."""

    __slots__ = ()

    @property
    def is_local(self) -> bool:
        return False


def test_models() -> None:
    with faults.running(models=("one", "two")) as server:
        found = by_check(doctor_server.server(target(server.url, model="three"), 5))
        assert (
            found["models"].level is Level.PROBLEM and "three, but one, two" in found["models"].text
        )
        assert "chat" not in found
        found = by_check(doctor_server.server(target(server.url, model="two"), 5))
        assert found["chat"].text.startswith("two answers")


def test_when_pieces_came() -> None:
    """The n-th piece of a burst comes 0.1 ms after the one before."""

    def burst(at: float, pieces: int) -> list[float]:
        return [at + 0.0001 * n for n in range(pieces)]

    assert Arrivals(burst(0.5, 5)).held_back
    assert Arrivals(burst(0.3, 20) + burst(0.5, 10)).held_back
    assert not Arrivals([0.5 + 0.01 * n for n in range(20)]).held_back  # a model
    assert not Arrivals([5.0 + 1.5 * n for n in range(20)]).held_back  # a slow one
    assert not Arrivals([0.05 + 0.0015 * n for n in range(60)]).held_back  # a fast one
    late = [time for n in range(8) for time in burst(0.02 + 0.012 * n, 5)]
    assert not Arrivals(late).held_back  # one that is read late, by a busy machine
    assert not Arrivals(burst(0.5, 2)).held_back  # too few to tell
    assert Arrivals([0.5], tokens=30).held_back
    assert not Arrivals([0.5], tokens=2).held_back


@pytest.mark.parametrize(("late", "level"), [(1, Level.OK), (2, Level.WARNING)])
def test_a_stream_that_is_read_late(
    monkeypatch: pytest.MonkeyPatch, late: int, level: Level
) -> None:
    """The first one or two streams come together at our end: only two make a warning."""
    asked: list[int] = []
    original = answer.stream_chunks

    def consume(client: Any, body: Any, take: Any, progress: Any) -> None:
        asked.append(body["max_tokens"])
        delay = [0.8] if len(asked) <= late else []

        def take_late(chunk: Any) -> None:
            if delay:
                time.sleep(delay.pop())  # the whole answer is there by then
            take(chunk)

        original(client, body, take_late, progress)

    with faults.running(answers=STREAM) as server:
        monkeypatch.setattr("qchat.api.stream.stream_chunks", consume)
        found = by_check(doctor_server.server(target(server.url), 10))
    assert found["stream"].level is level
    assert len(asked) == 2 and asked[1] > asked[0]


def test_a_second_stream_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with faults.running("cut_stream:skip=2", answers="length=30") as server:
        monkeypatch.setattr(Arrivals, "held_back", True)
        found = by_check(doctor_server.server(target(server.url), 10))
    assert found["stream"].level is Level.WARNING


@pytest.mark.needs_tool("nginx")
@pytest.mark.parametrize(("location", "level"), [("", "warning"), ("proxy_buffering off;", "ok")])
def test_a_proxy_that_holds_the_stream_back(
    tmp_path: Path, unused_port: int, location: str, level: str
) -> None:
    with (
        faults.running(answers=STREAM) as server,
        plain_proxy(tmp_path, unused_port, server.port, location) as url,
    ):
        found = by_check(doctor_server.server(target(url), 10))
    assert found["stream"].level == level
    if level == "warning":
        assert "proxy_buffering off" in found["stream"].fix


class TestRecords:
    """Servers that qchat started, by their records."""

    def look(self, home: Path, *held: ServerRecord, **environ: str) -> dict[str, Level]:
        said = {"QCHAT_HOME": str(home), **environ}
        found: dict[str, Level] = {}
        for section in doctor_sections.sections(doctor_sections.DoctorOptions(said, timeout=5)):
            if section.name.startswith(("server", "settings", "processes")):
                for name, one in by_check(section.look()).items():
                    found[f"{section.name}.{name}"] = one.level
        return found

    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What else runs here, and at the usual port, is not these tests' matter."""
        monkeypatch.setattr("qchat.serve.process_tree.foreign", lambda _marks: [])
        monkeypatch.setattr(wire, "answers", lambda _endpoint: False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def test_those_that_are_not_ready(self, tmp_path: Path) -> None:
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        for state in (records.STARTING, records.RESTARTING, records.FAILED):
            store.write(replace(RECORD, name=state, state=state, message="It broke."))
        store.write(replace(RECORD, name="dead"))
        with store.acquire("starting"), store.acquire("restarting"):
            found = self.look(tmp_path)
        assert found["server:starting.state"] is Level.OK
        assert found["server:restarting.state"] is Level.WARNING
        assert found["server:failed.state"] is Level.PROBLEM
        assert found["processes.record"] is Level.WARNING
        assert not any(name.startswith("server:dead") for name in found)

    def test_its_key_is_at_hand(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"# who\n\nalice {KEY}\nbob {'b' * MIN_LENGTH}\n")
        file.chmod(0o600)
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        with faults.running(api_key=KEY) as server, store.acquire("demo"):
            here = replace(RECORD, url=server.url, port=server.port)
            store.write(replace(here, key=str(file)))
            found = self.look(tmp_path)
            assert found["server:demo.chat"] is Level.OK
            store.write(replace(here, key="variable"))
            assert self.look(tmp_path)["server:demo.key"] is Level.WARNING
            assert self.look(tmp_path, QCHAT_API_KEY=KEY)["server:demo.chat"] is Level.OK
            file.chmod(0o644)
            store.write(replace(here, key=str(file)))
            found = self.look(tmp_path)
            assert found["server:demo.key_file"] is Level.PROBLEM
            assert "server:demo.health" not in found
            own = tmp_path / "config" / "keys" / "demo.key"
            own.parent.mkdir(parents=True)
            own.write_text("short")
            own.chmod(0o600)
            store.write(replace(here, key=str(own)))
            found = self.look(tmp_path)  # one cause, one problem
            assert found["settings.key_file"] is Level.PROBLEM
            assert found["server:demo.key"] is Level.WARNING

    def test_one_that_is_asked_by_its_address(self, tmp_path: Path) -> None:
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        store.write(RECORD)
        with store.acquire("demo"):
            asked = doctor_sections.DoctorOptions(
                {"QCHAT_HOME": str(tmp_path)}, base_url=RECORD.url, timeout=5
            )
            (section,) = [s for s in doctor_sections.sections(asked) if "server" in s.name]
            (one,) = section.look()
        assert section.name == "server:demo" and one.check == "unreachable"
        assert one.fix == "qchat logs demo --errors"


def test_no_key_at_hand_is_said() -> None:
    said = doctor_server.of_record(replace(RECORD, key="variable"), {})
    assert isinstance(said, Finding) and "QCHAT_API_KEY, which is not set" in said.text


@pytest.mark.parametrize(
    ("record", "fix"),
    [
        (None, "Put the right key in a variable"),
        (replace(RECORD, key="/keys/demo.key"), "Give a key of /keys/demo.key."),
        (replace(RECORD, key="variable"), "Give the key that was in QCHAT_API_KEY"),
    ],
)
def test_where_the_right_key_is(record: ServerRecord | None, fix: str) -> None:
    with faults.running(api_key=KEY) as server:
        wrong = replace(target(server.url, "x" * MIN_LENGTH), record=record)
        found = by_check(doctor_server.server(wrong, 5))
    assert found["unauthorized"].fix.startswith(fix)


def test_what_to_do_stands_apart(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    found = by_check(doctor_server.server(replace(target(url), record=None), 5))["unreachable"]
    assert found.text.endswith("Connection refused.")
    assert found.fix == f"qchat serve demo --detach --port {unused_port}"
