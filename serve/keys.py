"""The server's keys: a private file with a line for each, or one variable; checked, never shown.

A line is ``NAME KEY``, or a key alone; a line that begins with ``#`` is a comment. Taking a line
away revokes that key in a running server within a second, the last one, too. A file that is gone
revokes nothing: some editors and mounts take it away for a moment. No vLLM here: `access` imports
this within the server.
"""

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..i18n import _

VARIABLE = "QCHAT_API_KEY"
LEAST = 32  # characters: nobody guesses that many
_MOST_BYTES = 1 << 20
_LOOK_AGAIN = 1.0  # seconds between looks at the file

log = logging.getLogger("vllm.qchat")  # below vLLM's own, so that its handler writes it


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of keys by the names of their owners; the keys themselves are not kept."""

    digests: Mapping[str, bytes]

    def owner(self, key: str) -> str | None:
        """Whose key it is, or None. Takes the same time for every key that is wrong."""
        digest = _digest(key)
        found = None
        for name, known in self.digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def generate() -> str:
    """A new key: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


def parse(text: str, place: str) -> Keys:
    """Keys from the text of a file, at least one. Raises `UsageError` naming `place` and line,
    never a key."""
    found = _parse(text, place)
    if not found.digests:
        raise UsageError(_("{place} holds no key.").format(place=place))
    return found


def _parse(text: str, place: str) -> Keys:
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        at = f"{place}:{number}"
        if len(words) > 2:
            raise UsageError(_("{at}: a line is NAME KEY, or a key alone.").format(at=at))
        name = words[0] if len(words) == 2 else _("line {n}").format(n=number)
        if name in found:
            raise UsageError(_("{at}: the name {name} is there twice.").format(at=at, name=name))
        digest = _digest(check(words[-1], at))
        if digest in found.values():
            raise UsageError(_("{at}: this key is there twice.").format(at=at))
        found[name] = digest
    return Keys(found)


def check(key: str, place: str) -> str:
    """`key`, if it is one. Raises `UsageError` for one that is empty, short or not plain."""
    if not key:
        raise UsageError(_("The key in {place} is empty.").format(place=place))
    if len(key) < LEAST:
        text = _("The key in {place} has {n} characters; {least} or more are needed.")
        raise UsageError(text.format(place=place, n=len(key), least=LEAST))
    if not all("!" <= c <= "~" for c in key):
        text = _("The key in {place} must be one word of plain ASCII characters.")
        raise UsageError(text.format(place=place))
    return key


def read(path: Path) -> Keys:
    """The keys in a file that only its owner can read. Raises `UsageError`."""
    return parse(_text(path), str(path))


def one_of(path: Path) -> str:
    """One key of the file, for a request to the server that goes by it. Raises `UsageError`."""
    text = _text(path)
    parse(text, str(path))
    lines = (line.split() for line in text.splitlines())
    return next(words[-1] for words in lines if words and not words[0].startswith("#"))


def is_key_alone(path: Path) -> bool:
    """Whether the file is one key and nothing else, as `qchat serve --generate-key` makes it."""
    try:
        return len(_text(path).split()) == 1
    except UsageError:
        return False


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            held = os.fstat(file.fileno())
            if not stat.S_ISREG(held.st_mode):
                raise UsageError(_("{file} is not a file.").format(file=path))
            if stat.S_IMODE(held.st_mode) & 0o077 & ~_granted(path):
                text = _("Others can read the keys in {file}; run: chmod 600 {file}")
                raise UsageError(text.format(file=path))
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        text = _("Can't read the key file {file}: {why}.")
        raise UsageError(text.format(file=path, why=error.strerror)) from error
    if len(data) > _MOST_BYTES:
        raise UsageError(_("{file} is too large for a key file.").format(file=path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(_("{file} is not UTF-8 text.").format(file=path)) from error


def _granted(path: Path) -> int:
    """Bits of a mode that don't say that others can read. systemd lends a service its credentials
    through an access list, whose mask stands where the group's bits are else."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o040 if folder and path.absolute().parent == Path(folder).absolute() else 0


def from_variable(environ: Mapping[str, str]) -> Keys | None:
    """The key in QCHAT_API_KEY; None where it is not set. Raises `UsageError` for an empty one."""
    key = environ.get(VARIABLE)
    if key is None:
        return None
    place = _("the variable {name}").format(name=VARIABLE)
    return Keys({VARIABLE: _digest(check(key.strip(), place))})


class KeyRing:
    """The keys of a running server: the file is read again when it has changed.

    A bad edit, and a file that is gone, keep the last good keys; that is said in the log, once for
    each edit. A file without a key leaves none of its keys valid.
    """

    def __init__(
        self, path: Path | None, fixed: Keys | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read `path`; `fixed` is the key of the variable. Raises `UsageError`."""
        self._path = path
        self._fixed = fixed
        self._clock = clock
        self._seen = _mark(path)
        self._file = None if path is None else read(path)
        self._next_look = clock() + _LOOK_AGAIN

    def __bool__(self) -> bool:
        """Whether a key is needed at all."""
        return self._file is not None or self._fixed is not None

    def owner(self, key: str) -> str | None:
        """Whose key it is, or None."""
        self._look()
        found = None if self._fixed is None else self._fixed.owner(key)
        if self._file is not None:
            found = self._file.owner(key) or found
        return found

    def _look(self) -> None:
        now = self._clock()
        if self._path is None or now < self._next_look:
            return
        self._next_look = now + _LOOK_AGAIN
        mark = _mark(self._path)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self._file = _parse(_text(self._path), str(self._path))
        except UsageError as error:
            log.warning(_("The keys stay as they were. %s"), error)
            return
        if not self._file.digests:
            log.warning(_("The key file holds no key now: none of its keys is valid any more."))
        else:
            log.warning(_("The key file was read again: %d keys."), len(self._file.digests))


def _mark(path: Path | None) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none."""
    if path is None:
        return None
    try:
        held = path.stat()
    except OSError:
        return None
    return held.st_ino, held.st_size, held.st_mtime_ns, held.st_mode
