"""`qchat doctor` on servers: good ones, those that fail, and those that somebody stands before."""

import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.doctor import sections as doctor_sections
from qchat.serve.doctor import server as doctor_server
from qchat.serve.doctor.finding import Finding, Level
from qchat.serve.doctor.server import StreamTiming, Target
from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRecord, ServerRegistry

from qchat.api import endpoint as endpoints
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
        findings = by_check(doctor_server.check_server(target(server.url, KEY), 10))
    assert {one.level for one in findings.values()} == {Level.OK}
    assert findings["health"].figures["health_ms"] > 0
    assert "accepts the key" in findings["models"].text
    assert "refuses requests without the key" in findings["key_needed"].text
    assert findings["stream"].figures["pieces"] == 30
    assert 30 < findings["stream"].figures["tokens_per_s"] < 110


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
        findings = by_check(doctor_server.check_server(target(server.url), 0.5))
    assert findings["health"].level is Level.OK
    assert findings[check].level == level
    assert findings[check].fix == "qchat logs demo --errors"


def test_one_whose_engine_has_died() -> None:
    """vLLM's API server then answers with 503 until it has shut down."""

    class Unhealthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Unhealthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        findings = by_check(doctor_server.check_server(target(url), 5))
        server.shutdown()
        thread.join()
    assert findings["health"].level is Level.PROBLEM
    assert "(status 503): its engine has died" in findings["health"].text
    assert findings["health"].fix == "qchat logs demo --errors"


def test_a_key_that_is_wrong_or_protects_nothing() -> None:
    with faults.running(api_key=KEY) as server:
        wrong = by_check(doctor_server.check_server(target(server.url, "x" * MIN_LENGTH), 5))
        none = by_check(doctor_server.check_server(target(server.url), 5))
    assert wrong["unauthorized"].level is none["unauthorized"].level is Level.PROBLEM
    assert "refused the key" in wrong["unauthorized"].text
    assert "wants a key" in none["unauthorized"].text
    with faults.running() as server:
        findings = by_check(doctor_server.check_server(target(server.url, KEY), 5))
    assert findings["key_needed"].level is Level.WARNING


def test_a_server_that_others_reach() -> None:
    """In clear text and open: the endpoint is this machine's by its address in the network."""
    with faults.running() as server:
        seen = replace(target(server.url).endpoint, api_key=None)
        away = Target(_Elsewhere(seen.base_url))
        findings = by_check(doctor_server.check_server(away, 5))
        assert "Anyone who can reach" in findings["key_needed"].text
        findings = by_check(
            doctor_server.check_server(Target(replace(away.endpoint, api_key=Secret(KEY))), 5)
        )
        assert findings["tls"].level is Level.WARNING and KEY not in findings["tls"].text


class _Elsewhere(Endpoint):
    """As if it were not this machine."""

    __slots__ = ()

    @property
    def is_local(self) -> bool:
        return False


def test_models() -> None:
    with faults.running(models=("one", "two")) as server:
        findings = by_check(doctor_server.check_server(target(server.url, model="three"), 5))
        assert (
            findings["models"].level is Level.PROBLEM
            and "three; it offers one, two" in findings["models"].text
        )
        assert "chat" not in findings
        findings = by_check(doctor_server.check_server(target(server.url, model="two"), 5))
        assert findings["chat"].text.startswith("two responds")


def test_when_pieces_came() -> None:
    """The n-th piece of a burst comes 0.1 ms after the one before."""

    def burst(at: float, pieces: int) -> list[float]:
        return [at + 0.0001 * n for n in range(pieces)]

    assert StreamTiming(burst(0.5, 5)).is_buffered
    assert StreamTiming(burst(0.3, 20) + burst(0.5, 10)).is_buffered
    assert not StreamTiming([0.5 + 0.01 * n for n in range(20)]).is_buffered  # a model
    assert not StreamTiming([5.0 + 1.5 * n for n in range(20)]).is_buffered  # a slow one
    assert not StreamTiming([0.05 + 0.0015 * n for n in range(60)]).is_buffered  # a fast one
    late = [time for n in range(8) for time in burst(0.02 + 0.012 * n, 5)]
    assert not StreamTiming(late).is_buffered  # one that is read late, by a busy machine
    assert not StreamTiming(burst(0.5, 2)).is_buffered  # too few to tell
    assert StreamTiming([0.5], tokens=30).is_buffered
    assert not StreamTiming([0.5], tokens=2).is_buffered


@pytest.mark.parametrize(("late", "level"), [(1, Level.OK), (2, Level.WARNING)])
def test_a_stream_that_is_read_late(
    monkeypatch: pytest.MonkeyPatch, late: int, level: Level
) -> None:
    """The first one or two streams come together at our end: only two make a warning."""
    requests: list[int] = []
    original = answer.stream_chunks

    def consume(client: Any, body: Any, take: Any, progress: Any) -> None:
        requests.append(body["max_tokens"])
        delay = [0.8] if len(requests) <= late else []

        def late_callback(chunk: Any) -> None:
            if delay:
                time.sleep(delay.pop())  # the whole answer is there by then
            take(chunk)

        original(client, body, late_callback, progress)

    with faults.running(answers=STREAM) as server:
        monkeypatch.setattr("qchat.api.stream.stream_chunks", consume)
        findings = by_check(doctor_server.check_server(target(server.url), 10))
    assert findings["stream"].level is level
    assert len(requests) == 2 and requests[1] > requests[0]


def test_a_second_stream_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with faults.running("cut_stream:skip=2", answers="length=30") as server:
        monkeypatch.setattr(StreamTiming, "is_buffered", True)
        findings = by_check(doctor_server.check_server(target(server.url), 10))
    assert findings["stream"].level is Level.WARNING


@pytest.mark.needs_tool("nginx")
@pytest.mark.parametrize(("location", "level"), [("", "warning"), ("proxy_buffering off;", "ok")])
def test_a_proxy_that_holds_the_stream_back(
    tmp_path: Path, unused_port: int, location: str, level: str
) -> None:
    with (
        faults.running(answers=STREAM) as server,
        plain_proxy(tmp_path, unused_port, server.port, location) as url,
    ):
        findings = by_check(doctor_server.check_server(target(url), 10))
    assert findings["stream"].level == level
    if level == "warning":
        assert "proxy_buffering off" in findings["stream"].fix


class TestRecords:
    """Servers that qchat started, by their records."""

    def check(self, home: Path, *held: ServerRecord, **environ: str) -> dict[str, Level]:
        variables = {"QCHAT_HOME": str(home), **environ}
        findings: dict[str, Level] = {}
        for section in doctor_sections.sections(
            doctor_sections.DoctorOptions(variables, timeout=5)
        ):
            if section.name.startswith(("server", "settings", "processes")):
                for name, one in by_check(section.check()).items():
                    findings[f"{section.name}.{name}"] = one.level
        return findings

    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What else runs here, and at the usual port, is not these tests' matter."""
        monkeypatch.setattr("qchat.serve.processes.process_tree.foreign", lambda _marks: [])
        monkeypatch.setattr(endpoints, "answers", lambda _endpoint: False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def test_those_that_are_not_ready(self, tmp_path: Path) -> None:
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        for state in (records.STARTING, records.RESTARTING, records.FAILED):
            store.write(replace(RECORD, name=state, state=state, message="It broke."))
        store.write(replace(RECORD, name="dead"))
        with store.acquire("starting"), store.acquire("restarting"):
            findings = self.check(tmp_path)
        assert findings["server:starting.state"] is Level.OK
        assert findings["server:restarting.state"] is Level.WARNING
        assert findings["server:failed.state"] is Level.PROBLEM
        assert findings["processes.record"] is Level.WARNING
        assert not any(name.startswith("server:dead") for name in findings)

    def test_its_key_is_at_hand(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"# who\n\nalice {KEY}\nbob {'b' * MIN_LENGTH}\n")
        file.chmod(0o600)
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        with faults.running(api_key=KEY) as server, store.acquire("demo"):
            here = replace(RECORD, url=server.url, port=server.port)
            store.write(replace(here, key=str(file)))
            findings = self.check(tmp_path)
            assert findings["server:demo.chat"] is Level.OK
            store.write(replace(here, key="variable"))
            assert self.check(tmp_path)["server:demo.key"] is Level.WARNING
            assert self.check(tmp_path, QCHAT_API_KEY=KEY)["server:demo.chat"] is Level.OK
            file.chmod(0o644)
            store.write(replace(here, key=str(file)))
            findings = self.check(tmp_path)
            assert findings["server:demo.key_file"] is Level.PROBLEM
            assert "server:demo.health" not in findings
            own = tmp_path / "config" / "keys" / "demo.key"
            own.parent.mkdir(parents=True)
            own.write_text("short")
            own.chmod(0o600)
            store.write(replace(here, key=str(own)))
            findings = self.check(tmp_path)  # one cause, one problem
            assert findings["settings.key_file"] is Level.PROBLEM
            assert findings["server:demo.key"] is Level.WARNING

    def test_one_that_is_named_by_its_address(self, tmp_path: Path) -> None:
        store = ServerRegistry(Paths.find({"QCHAT_HOME": str(tmp_path)}))
        store.write(RECORD)
        with store.acquire("demo"):
            requests = doctor_sections.DoctorOptions(
                {"QCHAT_HOME": str(tmp_path)}, base_url=RECORD.url, timeout=5
            )
            (section,) = [s for s in doctor_sections.sections(requests) if "server" in s.name]
            (one,) = section.check()
        assert section.name == "server:demo" and one.check == "unreachable"
        assert one.fix == "qchat logs demo --errors"


def test_a_key_that_is_not_available_is_reported() -> None:
    finding = doctor_server.target_from_record(replace(RECORD, key="variable"), {})
    assert isinstance(finding, Finding) and "QCHAT_API_KEY, which is not set" in finding.text


@pytest.mark.parametrize(
    ("record", "fix"),
    [
        (None, "Put the right key in a variable"),
        (replace(RECORD, key="/keys/demo.key"), "Use a key of /keys/demo.key."),
        (replace(RECORD, key="variable"), "Use the key that was in QCHAT_API_KEY"),
    ],
)
def test_where_the_right_key_is(record: ServerRecord | None, fix: str) -> None:
    with faults.running(api_key=KEY) as server:
        wrong = replace(target(server.url, "x" * MIN_LENGTH), record=record)
        findings = by_check(doctor_server.check_server(wrong, 5))
    assert findings["unauthorized"].fix.startswith(fix)


def test_what_to_do_stands_apart(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    findings = by_check(doctor_server.check_server(replace(target(url), record=None), 5))[
        "unreachable"
    ]
    assert findings.text.endswith("Connection refused.")
    assert findings.fix == f"qchat serve demo --detach --port {unused_port}"
