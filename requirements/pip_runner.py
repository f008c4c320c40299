"""Runs pip with its output in a log file, and says in one sentence why it failed.

Standard library only, syntax of Python 3.8 (see preflight.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Mapping, Sequence

_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
# Said instead where a constraints file names the package too.
_CONFLICT = re.compile(r"Cannot install (\S+) because these package versions have conflicting")
_HOST = re.compile(r"host='([^']+)'")

# The first pattern found in pip's output decides, so the more exact causes stand first.
_CAUSES = (
    (
        r"No space left on device|Errno 28\b|Disk quota exceeded|Errno 122\b",
        "The disk is full. Free some room (TMPDIR can name another folder for temporary files).",
    ),
    (
        r"ProxyError|Tunnel connection failed|407 Proxy",
        "The proxy refused the connection{host}. Check HTTPS_PROXY and NO_PROXY.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "The certificate{host} was not accepted. Behind a company's proxy, "
        "set PIP_CERT to its certificate.",
    ),
    (
        r"\b(?:401|403) (?:Client )?Error",
        "The package index refused the request (401 or 403). Check PIP_INDEX_URL and its login.",
    ),
    (
        r"NewConnectionError|Failed to establish a new connection|ConnectTimeout|ReadTimeout"
        r"|Temporary failure in name resolution|NameResolutionError|Connection refused"
        r"|Network is unreachable|Could not fetch URL|ConnectionResetError|IncompleteRead",
        "The package index can't be reached{host}. Check the network, or set PIP_INDEX_URL "
        "to an index that can be.",
    ),
    (
        r"requires a different Python|Requires-Python",
        "A package does not fit this Python. Name Python 3.11: make setup PYTHON=python3.11",
    ),
    (r"Permission denied|Errno 13\b", "No permission to write. Run as the folder's owner."),
    (r"MemoryError|Cannot allocate memory", "The machine has too little free memory."),
)


class PipError(Exception):
    """pip ended with an error; the text is the sentence to show, `log` is what pip said."""

    def __init__(self, text: str, log: str) -> None:
        super().__init__(text)
        self.log = log


def explain_failure(log: str, code: int) -> str:
    """The sentence for pip's exit status `code` after it said `log`."""
    if code == -9:
        return "pip was killed, most likely because the machine ran out of memory."
    hosts = _HOST.findall(log)
    host = " ({})".format(hosts[-1]) if hosts else ""
    for pattern, text in _CAUSES:
        # "Ignored the following versions that require a different python" is only a remark.
        if re.search(pattern, re.sub(r"Ignored the following.*", "", log)):
            return text.format(host=host)
    missing = _NO_MATCH.search(log)
    if missing:
        # pip says no more than this of an index that it reached in no way.
        perhaps = ", or can't be reached" if "(from versions: none)" in log else ""
        return (
            "The package index has no {} for this machine and Python {}.{}{}. Another index can "
            "be named with PIP_INDEX_URL, a folder of wheels with PIP_FIND_LINKS.".format(
                missing.group(1), sys.version_info[0], sys.version_info[1], perhaps
            )
        )
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    last = errors[-1][len("ERROR:") :].strip() if errors else "it gave no reason"
    return "pip ended with status {}: {}".format(code, last)


def lacks(log: str, package: str) -> bool:
    """Whether pip failed because it found no file of this package."""
    match = _NO_MATCH.search(log) or _CONFLICT.search(log)
    return match is not None and match.group(1).split("=")[0] == package


class PipRunner:
    """pip of one virtual environment."""

    def __init__(self, python: Path, log: Path, *, verbose: bool, inherit: Sequence[int]) -> None:
        self._python = python
        self._log = log
        self._verbose = verbose
        self._inherit = tuple(inherit)
        self._tty = sys.stdout.isatty() and not verbose

    def run(self, *arguments: str) -> None:
        """``python -m pip ARGUMENTS``. Raises `PipError`."""
        command = [str(self._python), "-m", "pip", "--no-input", *arguments]
        code, output = self.stream(command)
        if code != 0:
            raise PipError(explain_failure(output, code), output)

    def stream(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Exit status and output of a command; the output goes to the log as it comes.

        `variables` are added to its environment.
        """
        environment = dict(os.environ, PIP_USER="0", PIP_PROGRESS_BAR="off", PYTHONUNBUFFERED="1")
        environment.update(variables or {})
        environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        # Packages found through these would count as installed, and are gone in another shell.
        for name in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX"):
            environment.pop(name, None)
        lines: list[str] = []
        with self._log.open("a", encoding="utf-8", errors="replace") as log:
            log.write("$ {}\n".format(" ".join(command)))
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                pass_fds=self._inherit,
            )
            ended = threading.Event()
            ticker = threading.Thread(target=self._tick, args=(lines, ended), daemon=True)
            if self._tty:
                ticker.start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    lines.append(line)
                    if self._verbose:
                        sys.stdout.write(line)
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
            finally:
                ended.set()
                if self._tty:
                    ticker.join()
        return code, "".join(lines)

    def _tick(self, lines: list[str], ended: threading.Event) -> None:
        """On a terminal, one line that shows that pip is alive and at what."""
        began = time.monotonic()
        while not ended.wait(0.5):
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            text = "         {:3.0f} s  {}".format(time.monotonic() - began, last)
            sys.stdout.write("\r\033[K" + re.sub(r"[\x00-\x1f\x7f]", " ", text)[:78])
            sys.stdout.flush()
        sys.stdout.write("\r\033[K")
        sys.stdout.flush()
