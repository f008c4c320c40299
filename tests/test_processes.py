"""Processes and their descendants, with real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from qchat.processes import alive, kill_processes, parent_pid, process_family

_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""
_FILE_LIMIT = """
import resource, sys
from qchat.processes import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 512))
print(raise_file_limit(int(sys.argv[1])), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
NO_PROCESS = 2**30
"""Above the largest process id of Linux (2**22) and macOS (99,999)."""


@contextmanager
def parent_and_child() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that waits for a line, and the id of its child, which ends with it."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            assert parent.stdout is not None
            yield parent, int(parent.stdout.readline())
        finally:
            parent.kill()


def test_a_family_is_the_roots_and_their_descendants() -> None:
    with parent_and_child() as (parent, child):
        assert process_family([parent.pid]) == [parent.pid, child]
        assert set(process_family([os.getpid()])) >= {os.getpid(), parent.pid, child}
        assert process_family([child, NO_PROCESS]) == [child, NO_PROCESS]
        assert process_family([parent.pid, child]) == [parent.pid, child]
        assert (parent_pid(child), parent_pid(parent.pid)) == (parent.pid, os.getpid())


@pytest.mark.parametrize("pid", [NO_PROCESS, 2**70, -5])
def test_a_process_that_does_not_exist(pid: int) -> None:
    assert parent_pid(pid) is None
    assert alive([pid]) == []
    assert kill_processes([pid]) == []


def test_a_zombie_is_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(process.pid)
        assert alive([process.pid, os.getpid()]) == [os.getpid()]


def test_killed_processes_are_gone_on_return() -> None:
    with parent_and_child() as (parent, child):
        assert alive([parent.pid, child]) == [parent.pid, child]
        assert kill_processes([child, parent.pid]) == []
        assert alive([parent.pid, child]) == []
        assert parent.wait() == -9


@pytest.mark.parametrize(
    ("connections", "usable", "limit"), [(50, 50, 200), (300, 300, 428), (5000, 384, 512)]
)
def test_files_for_other_purposes_are_left_over(connections: int, usable: int, limit: int) -> None:
    line = [sys.executable, "-c", _FILE_LIMIT, str(connections)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(usable), str(limit), "512"]
