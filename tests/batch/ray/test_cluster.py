"""A real Ray of two nodes, with stubs for the engines: nodes and processes that are killed, and
clusters that are not what was asked for."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.processes import alive, process_family
from tests.batch.commands import read, write

from .cluster import ROOT, Cluster, cluster

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    with cluster(nodes=2) as running:
        yield running


def start(stub: str, *args: str) -> "subprocess.Popen[str]":
    """`qchat batch` over a file of rows, in a session of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.batch.ray.driver", stub),
            *("batch", "in.jsonl", "--model", "demo", "--engine", "ray", *args),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def end(run: "subprocess.Popen[str]", code: int) -> str:
    """Its standard error, when it has ended with this code."""
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out) == (code, ""), err
    return err


def rows(*texts: str) -> None:
    write("in.jsonl", *({"prompt": text} for text in texts))


def lines() -> Counter[int]:
    return Counter(row["_qchat"]["line"] for row in read("in.results.jsonl"))  # type: ignore[index]


def answered(count: int, run: "subprocess.Popen[str]") -> None:
    """Wait until so many rows are answered."""
    deadline = time.monotonic() + 60
    while not Path("in.results.jsonl").exists() or len(read_whole()) < count:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read_whole() -> list[bytes]:
    return Path("in.results.jsonl").read_bytes().splitlines()


@pytest.mark.slow
def test_a_node_is_killed_and_another_comes(two_nodes: Cluster) -> None:
    """Each row is answered once, by the node that is left and by the one that comes."""
    rows(*(f"row {n}" for n in range(1, 2001)))
    run = start("steady", "--ray-address", two_nodes.address, "--replicas", "2")
    answered(100, run)
    two_nodes.kill(1)
    two_nodes.add()
    err = end(run, 0)
    assert lines() == dict.fromkeys(range(1, 2001), 1)
    assert {row["output"] for row in read("in.results.jsonl")} == {
        f"echo: row {n}" for n in range(1, 2001)
    }
    assert "was lost: Its process or its machine is gone. Its" in err
    assert "rows are asked again." in err
    assert err.count("replica 2 on ") + err.count("replica 1 on ") >= 4
    assert "ray" not in err.replace("--ray-address", "").replace("(Ray)", "")


def test_a_replica_s_process_is_killed(two_nodes: Cluster, home: Path) -> None:
    rows(*(f"row {n}" for n in range(1, 101)), f"kill the process: {home}/killed")
    run = start("steady", "--ray-address", two_nodes.address, "--replicas", "1-2")
    err = end(run, 0)
    assert lines() == dict.fromkeys(range(1, 102), 1)
    assert "was lost" in err


@pytest.mark.slow
def test_a_run_that_was_killed_is_resumed(two_nodes: Cluster) -> None:
    rows(*(f"row {n}" for n in range(1, 401)))
    args = ("steady", "--ray-address", two_nodes.address, "--replicas", "2")
    run = start(*args)
    answered(50, run)
    run.kill()
    run.communicate()
    err = end(start(*args), 0)  # the places come back when Ray has noticed
    assert lines() == dict.fromkeys(range(1, 401), 1)
    assert "rows are done already; continuing with the others" in err


@pytest.mark.slow
def test_ctrl_c_drains_and_says_how_to_go_on(two_nodes: Cluster) -> None:
    rows(*(f"row {n}" for n in range(1, 4001)))
    run = start("steady", "--ray-address", two_nodes.address, "--replicas", "2")
    answered(50, run)
    os.killpg(run.pid, signal.SIGINT)
    err = end(run, 130)
    assert "rows in flight get 5 s to finish" in err and "to resume:" in err
    assert set(lines().values()) == {1}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--replicas", "3"), "3 replicas of 1 CPU ask for 3; 2 would fit. --replicas 2-3 begins"),
        (("--tensor-parallel-size", "2"), "No machine of the cluster has 2 CPUs for one replica"),
    ],
)
def test_what_is_not_there_is_said_at_once(
    two_nodes: Cluster, args: tuple[str, ...], message: str
) -> None:
    rows("one")
    err = end(start("quick", "--ray-address", two_nodes.address, *args), 3)
    assert message in err
    assert "it has 2 CPUs (2 free) on 2 machines" in err


@pytest.mark.slow
def test_more_replicas_than_there_is_room_for_come_when_it_is_there(two_nodes: Cluster) -> None:
    rows(*(f"row {n}" for n in range(1, 101)))
    err = end(start("steady", "--ray-address", two_nodes.address, "--replicas", "1-3"), 0)
    assert "of 3 replicas of demo" in err
    assert lines() == dict.fromkeys(range(1, 101), 1)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("127.0.0.1:{port}", 3, "No Ray cluster answers at 127.0.0.1:{port} (Connection refused)."),
        ("auto", 3, "No Ray cluster runs on this machine (--ray-address auto)."),
        ("ray://127.0.0.1:{port}", 2, "Ray Client (ray://) is not supported"),
        ("somewhere", 2, "expected auto or HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster(
    home: Path, monkeypatch: pytest.MonkeyPatch, address: str, code: int, message: str
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(home))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    rows("one")
    port = free_port()
    started = time.monotonic()
    err = end(start("quick", "--ray-address", address.format(port=port)), code)
    assert message.format(port=port) in err
    assert time.monotonic() - started < 30  # ray.init alone would try for longer


@pytest.mark.slow
def test_a_ray_of_our_own_leaves_nothing_behind(home: Path) -> None:
    """Its folder is closed to others, its ports to other machines, and both end with the run."""
    rows(*(f"row {n}" for n in range(1, 801)))
    run = start("steady", "--replicas", "2")
    answered(50, run)
    family = process_family([run.pid])
    [folder] = own_folders(run.pid)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert not {ip for ip in listening(family) if ip not in ("127.0.0.1", "::ffff:127.0.0.1")}
    os.killpg(run.pid, signal.SIGTERM)
    err = end(run, 143)
    assert "to resume:" in err
    assert not folder.exists()
    assert alive(family) == []
    assert set(lines().values()) == {1}


@pytest.mark.slow
def test_a_ray_of_our_own_ends_when_we_are_killed(home: Path) -> None:
    rows(*(f"row {n}" for n in range(1, 801)))
    run = start("steady")
    answered(20, run)
    family = process_family([run.pid])
    [folder] = own_folders(run.pid)
    run.kill()
    run.communicate()
    # Ray's agents tell a GCS that is gone of the raylet's end, and give up after a minute.
    deadline = time.monotonic() + 180
    while alive(family):
        assert time.monotonic() < deadline, alive(family)
        time.sleep(0.1)
    os.utime(folder / "lock", (0, 0))
    end(start("quick"), 0)  # the next run removes it
    assert not folder.exists()
    assert lines() == dict.fromkeys(range(1, 801), 1)


def own_folders(pid: int) -> list[Path]:
    """The folders of Rays that a process has started, by the lock that it holds."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    paths = [link.readlink() for link in links]
    return [path.parent for path in paths if path.parent.name.startswith("qchat-ray-")]


def listening(pids: list[int]) -> set[str]:
    """The addresses that these processes listen on."""
    import psutil

    return {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids
    }
