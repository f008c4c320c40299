"""A server with every process of it: to find them all, and to end them all.

They are known by a mark in their environment, which goes to every child, whoever its parent is by
now. A process that writes its title over its environment, as vLLM's engine does, is known by its
parent. Without /proc (macOS) the family of the first process stands for it.
"""

import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..lifeline import ENVIRONMENT
from ..processes import alive, kill_processes, parent_pid, process_family
from ..sanitize import one_line

MARK = "_QCHAT_SERVER"
NO_ENGINE = 2.0
"""Seconds for the rest of a server whose engines are gone: no answer can come any more, and vLLM
would keep its connections open for as long as their clients wait."""

_OF_QCHAT = f"{ENVIRONMENT}=1"
_TITLE = "VLLM::"  # of its engine and its workers
_MODULES = ("vllm.entrypoints.", "qchat.serve.launcher")
_REAPERS = ("systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "conmon")
# As it is abbreviated, too: vLLM takes --hf-t for --hf-token.
_SECRET = re.compile(r"(.*[-.])?(api-?key|token|secret|password)|hf-t.*")


def members(first: int | None, mark: str) -> list[int]:
    """Processes of the server with `mark`, whose first process is `first`."""
    roots = _with([f"{MARK}={mark}"]) | ({first} if first is not None else set())
    return alive(sorted(process_family(roots)))


def _with(variables: Iterable[str]) -> set[int]:
    """Processes with one of `variables`, NAME=VALUE, in their environment, without this one."""
    wanted = {variable.encode() for variable in variables}
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted & set(path.read_bytes().split(b"\0")):
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def stop(
    first: int | None, mark: str, seconds: float, hurry: Callable[[], bool] = lambda: False
) -> list[int]:
    """SIGTERM, up to `seconds` for a decent end, then SIGKILL; gives back what still runs.

    `hurry` is asked meanwhile: True ends the patience. So does the end of the engines, soon.
    """
    first = _still(first)
    everyone = members(first, mark)
    if first is not None:
        engines = [pid for pid in everyone if _program(_words(pid)).startswith(_TITLE)]
        with contextlib.suppress(OSError):
            os.kill(first, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while alive([first]) and time.monotonic() < deadline and not hurry():
            if engines and not alive(engines):
                engines, deadline = [], min(deadline, time.monotonic() + NO_ENGINE)
            time.sleep(0.02)
    first = _still(first)
    left = members(first, mark)
    # Python's resource trackers remove shared memory when the others are gone; they end by
    # themselves.
    trackers = [pid for pid in left if "resource_tracker" in " ".join(_words(pid))]
    kill_processes([pid for pid in left if pid not in trackers])
    # And who is just ending has no environment any more, which is what members are known by.
    deadline = time.monotonic() + 2.0
    while alive({*trackers, *everyone}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return kill_processes(members(first, mark))


def _still(first: int | None) -> int | None:
    """None once it has ended: it may be waited for by now, and its id be another's soon."""
    return first if first is not None and alive([first]) else None


def memory_mib(pids: Iterable[int]) -> int:
    """MiB that processes take together, shared pages counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total // 1024


def foreign(marks: Iterable[str]) -> list[tuple[int, str]]:
    """vLLM processes that are not qchat's, those of the servers with `marks` among it: id and
    command line as `command` shows it."""
    ours = set(process_family(_with([f"{MARK}={mark}" for mark in marks] + [_OF_QCHAT])))
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        if pid not in ours and _is_vllm(_words(pid)):
            found.append((pid, command(pid)))
    return sorted(found)


def is_orphan(pid: int) -> bool:
    """Whether an engine or a worker of vLLM has lost the process that started it: its parent is
    by now one that takes in orphans, and not a container's first process that starts engines."""
    above, words = parent_pid(pid), _words(pid)
    if above is None or not _program(words).startswith(_TITLE):
        return False
    starter = _words(above)
    name = _program(starter)
    if _is_vllm(starter) or name.startswith("python"):
        return False
    return above == 1 or name in _REAPERS


def command(pid: int) -> str:
    """The command line of a process on one line, safe to show, without the keys in it; "" where
    it can't be read."""
    return one_line(" ".join(masked(_words(pid)))).strip()


def masked(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a command line, those that are a key or a token replaced: what follows
    ``--api-key``, ``--hf-token`` and the like, or stands behind their ``=``."""
    shown, hides = [], False
    for word in words:
        name, equals, _value = word.partition("=")
        is_option = word.startswith("-")
        is_secret = (is_option or equals != "") and _SECRET.fullmatch(
            name.lstrip("-").lower().replace("_", "-")
        )
        if is_secret and equals:
            shown.append(f"{name}=***")
        else:
            shown.append("***" if hides and not is_option else word)
        hides = bool(is_secret) and not equals if is_option else hides
    return tuple(shown)


def secret(words: Sequence[str]) -> str | None:
    """The option among `words` whose value is a key or a token, as it was written; None: none."""
    last = ""
    for word, shown in zip(words, masked(words), strict=True):
        if word.startswith("-"):
            last = word.partition("=")[0]
        if word != shown:
            return last or word.partition("=")[0]
    return None


def _is_vllm(words: list[str]) -> bool:
    """Whether a command line is one of vLLM's: an engine, ``vllm serve``, ``-m`` and its server."""
    if _program(words).startswith("python"):
        words = words[1:]
        if any(one == "-m" and two.startswith(_MODULES) for one, two in itertools.pairwise(words)):
            return True
    return _program(words).startswith(_TITLE) or (
        _program(words) == "vllm" and words[1:2] == ["serve"]
    )


def _program(words: Sequence[str]) -> str:
    return words[0].rpartition("/")[2] if words else ""


def _words(pid: int) -> list[str]:
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return data.rstrip(b"\0").decode("utf-8", "replace").split("\0") if data else []
