"""A real Ray of two nodes on this machine, in a process of its own, and ways to kill one.

    python -m tests.batch.ray.cluster NODES CPUS

starts it and prints its address; each line on standard input is an order: ``kill N`` (SIGKILL to
all of a node's processes), ``add`` (a node). It ends with its standard input.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qchat.processes import kill_processes, process_family

ROOT = Path(__file__).parents[3]

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every port on 127.0.0.1
    # A node that is killed is missed after 3 s, not after 15.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}


class Cluster:
    """The process that has the cluster."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self._process = process
        self.address = address

    def kill(self, node: int) -> None:
        """Kill a node, from 1 on; the head, 0, has the driver."""
        self._order(f"kill {node}")

    def add(self) -> None:
        """Add a node."""
        self._order("add")

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "done"


@contextmanager
def cluster(nodes: int = 2, cpus: int = 1) -> Iterator[Cluster]:
    """A cluster of so many nodes, each with so many CPUs as far as Ray knows."""
    # Ray's names of sockets are long: not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="qc-", dir="/tmp") as folder:
        token = Path(folder, "token")
        token.touch(0o600)
        token.write_text("0123456789abcdef" * 4)
        environment = {
            **os.environ,
            **ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": folder,
            "PYTHONPATH": str(ROOT),
        }
        process, address = _start(Path(folder, "log"), nodes, cpus, environment)
        try:
            with _environment(environment):
                yield Cluster(process, address)
        finally:
            _end(process)


def _start(
    log: Path, nodes: int, cpus: int, environment: dict[str, str]
) -> "tuple[subprocess.Popen[str], str]":
    """The process and the cluster's address."""
    for _try in range(5):
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(nodes), str(cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=environment,
                cwd=ROOT,
            )
        assert process.stdout is not None
        if address := process.stdout.readline().strip():
            return process, address
        _end(process)
    raise AssertionError(log.read_text()[-4000:])


def _end(process: "subprocess.Popen[str]") -> None:
    family = process_family([process.pid])
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(30)
    finally:
        kill_processes(family)
        process.wait(10)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What a driver needs to join."""
    before = dict(os.environ)
    names = (
        "RAY_USAGE_STATS_ENABLED",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "RAY_AUTH_MODE",
        "RAY_TMPDIR",
    )
    os.environ.update({name: values[name] for name in (*names, "RAY_AUTH_TOKEN_PATH")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node 30 s to start; on a machine with much else to do it gets a minute. One whose
    first calls have failed may never come up; then all is started again."""

    def get(*args: Any) -> Any:
        deadline = time.monotonic() + 60
        while True:
            try:
                return get_node(*args)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    return get


def main(nodes: int, cpus: int) -> None:
    from ray._private import services
    from ray.cluster_utils import Cluster as Raylets

    services.get_node = patient(services.get_node)
    output = os.fdopen(os.dup(1), "w")  # Ray prints
    os.dup2(2, 1)
    options = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": 80 << 20}
    raylets = Raylets()
    members = [raylets.add_node(**options)]
    members += [raylets.add_node(**options) for _number in range(nodes - 1)]
    print(raylets.address, file=output, flush=True)
    for line in sys.stdin:
        order, _space, number = line.strip().partition(" ")
        if order == "add":
            members.append(raylets.add_node(**options))
        else:
            raylets.remove_node(members[int(number)], allow_graceful=False)
        print("done", file=output, flush=True)
    raylets.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
