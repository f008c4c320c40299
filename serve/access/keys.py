"""The server's API keys: a private file with a line for each, or one environment variable.

A line is ``NAME KEY``, or a key alone; limits of that key may follow its name or the key, as in
``alice KEY max-running=8 requests-per-minute=60`` (see `limits`). A line that begins with ``#`` is
a comment. Removing a line revokes that key in a running server within a second, even the last one;
changed limits count from then on. A missing file revokes nothing: some editors and mounts remove
it for a moment. Keys are validated and never shown. No vLLM here: `access` imports this in the
server.
"""

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...settings import private_dir
from .limits import Limits, parse_words

VARIABLE = "QCHAT_API_KEY"
MIN_LENGTH = 32  # characters: too many to guess
_MAX_FILE_BYTES = 1 << 20
_CHECK_INTERVAL = 1.0  # seconds between checks of the file

log = logging.getLogger("vllm.qchat")  # a child of vLLM's logger, to use its handler


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of keys by the names of their owners; the keys themselves are not stored.

    `limits` has the limits of those owners that have some of their own; `unnamed` are the owners
    whose lines have no name.
    """

    digests: Mapping[str, bytes]
    limits: Mapping[str, Limits] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()

    def owner(self, key: str) -> str | None:
        """Return the owner of a key, or None; in constant time for every wrong key."""
        digest = _digest(key)
        owner = None
        for name, valid_digest in self.digests.items():
            if hmac.compare_digest(digest, valid_digest):
                owner = name
        return owner

    def identity(self, owner: str) -> str | None:
        """Return what an owner of files and batches is known by; None for an unknown owner.

        It is the name, which stays when the key is replaced. The owner of a key without a name is
        known by the key: the name is the number of its line, which may be another's tomorrow.
        """
        digest = self.digests.get(owner)
        if digest is None:
            return None
        if owner not in self.unnamed:
            return f"name:{owner}"
        return "key:" + hashlib.sha256(b"identity" + digest).hexdigest()[:32]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def generate() -> str:
    """Return a new key: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


def generate_file(file: Path) -> bool:
    """Write a new key to a private file, unless it exists, and return whether it was written.
    Raises `UsageError`."""
    if file.exists():
        return False
    private_dir(file.parent)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as output:
            output.write(generate() + "\n")
    except OSError as error:
        if not isinstance(error, FileExistsError):
            file.unlink(missing_ok=True)
        text = _("Can't write the key file {file}: {reason}.")
        raise UsageError(text.format(file=file, reason=_(error.strerror))) from error
    return True


def parse(text: str, place: str) -> Keys:
    """Parse the text of a key file with at least one key. Raises `UsageError` with `place` and line
    number, never with a key."""
    keys = _parse(text, place)
    if not keys.digests:
        raise UsageError(_("{place} contains no key.").format(place=place))
    return keys


def _parse(text: str, place: str) -> Keys:
    digests: dict[str, bytes] = {}
    all_limits: dict[str, Limits] = {}
    unnamed: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        at = f"{place}:{number}"
        words, limits = _split(line, at)
        if not words:
            continue
        # The name stands in logs and metrics, which have one language.
        name = words[0] if len(words) == 2 else f"line {number}"
        if name in digests:
            raise UsageError(_("{at}: the name {name} occurs twice.").format(at=at, name=name))
        digest = _digest(check(words[-1], at))
        if digest in digests.values():
            raise UsageError(_("{at}: this key occurs twice.").format(at=at))
        digests[name] = digest
        if len(words) == 1:
            unnamed.add(name)
        if limits != Limits():
            all_limits[name] = limits
    return Keys(digests, all_limits, frozenset(unnamed))


def _split(line: str, place: str) -> tuple[list[str], Limits]:
    """Return a line's name and key, or key alone, and its limits; nothing for an empty line."""
    first, *rest = line.split() or [""]
    if not first or first.startswith("#"):
        return [], Limits()
    limits, others = parse_words(rest, place)
    if len(others) > 1:
        text = _("{at}: a line is NAME KEY, or a key alone, and limits such as max-running=8.")
        raise UsageError(text.format(at=place))
    return [first, *others], limits


def check(key: str, place: str) -> str:
    """Return `key` if it is valid. Raises `UsageError` if it is empty, short or not ASCII."""
    if not key:
        raise UsageError(_("The key in {place} is empty.").format(place=place))
    if len(key) < MIN_LENGTH:
        text = _("The key in {place} has {n} characters; {min} or more are needed.")
        raise UsageError(text.format(place=place, n=len(key), min=MIN_LENGTH))
    if not all("!" <= c <= "~" for c in key):
        text = _("The key in {place} must consist of printable ASCII characters without blanks.")
        raise UsageError(text.format(place=place))
    return key


def read(path: Path) -> Keys:
    """Read the keys of a file that only its owner can read. Raises `UsageError`."""
    return parse(_text(path), str(path))


def one_of(path: Path) -> str:
    """Return one key of the file, for a request to its server. Raises `UsageError`."""
    text = _text(path)
    parse(text, str(path))
    lines = (_split(line, str(path))[0] for line in text.splitlines())
    return next(words[-1] for words in lines if words)


def is_single_key(path: Path) -> bool:
    """Return whether the file is one key and nothing else, as --generate-key writes it."""
    try:
        return len(_text(path).split()) == 1
    except UsageError:
        return False


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(_("{file} is not a regular file.").format(file=path))
            if stat.S_IMODE(mode) & 0o077 & ~_systemd_mode(path):
                text = _("Other users can read the keys in {file}; run: chmod 600 {file}")
                raise UsageError(text.format(file=path))
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        text = _("Can't read the key file {file}: {reason}.")
        raise UsageError(text.format(file=path, reason=_(error.strerror))) from error
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(_("{file} is too large for a key file.").format(file=path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(_("{file} is not UTF-8 text.").format(file=path)) from error


def _systemd_mode(path: Path) -> int:
    """Return the mode bits that do not mean that other users can read. systemd gives a service its
    credentials through an ACL, whose mask is shown in place of the group's bits."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o040 if folder and path.absolute().parent == Path(folder).absolute() else 0


def from_variable(environ: Mapping[str, str]) -> Keys | None:
    """Return the key in QCHAT_API_KEY; None where it is not set. Raises `UsageError` if invalid."""
    key = environ.get(VARIABLE)
    if key is None:
        return None
    place = _("the variable {name}").format(name=VARIABLE)
    return Keys({VARIABLE: _digest(check(key.strip(), place))})


class KeyRing:
    """The keys of a running server: the file is read again when it has changed.

    After an invalid edit, and while the file is missing, the last valid keys stay; a warning is
    logged once for each edit. An empty file revokes all of its keys.
    """

    def __init__(
        self, path: Path | None, variable: Keys | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read `path`; `variable` holds the key of the variable. Raises `UsageError`."""
        self._path = path
        self._variable = variable
        self._clock = clock
        self._version = _file_version(path)
        self._file_keys = None if path is None else read(path)
        self._next_check = clock() + _CHECK_INTERVAL

    def __bool__(self) -> bool:
        """Return whether requests need a key at all."""
        return self._file_keys is not None or self._variable is not None

    def owner(self, key: str) -> str | None:
        """Return the owner of a key, or None."""
        self._reload()
        owner = None if self._variable is None else self._variable.owner(key)
        if self._file_keys is not None:
            owner = self._file_keys.owner(key) or owner
        return owner

    def limits(self, owner: str) -> Limits:
        """Return the limits of an owner's own."""
        own = None if self._file_keys is None else self._file_keys.limits.get(owner)
        return own or Limits()

    def identity(self, owner: str) -> str:
        """Return what the files and batches of an owner are kept under, see `Keys.identity`."""
        for keys in (self._file_keys, self._variable):
            identity = None if keys is None else keys.identity(owner)
            if identity is not None:
                return identity
        return f"name:{owner}"

    def owner_of(self, identity: str) -> str | None:
        """Return the owner with an identity; None where its key is no longer valid."""
        self._reload()
        owners = (owner for owner in self.owners() if self.identity(owner) == identity)
        return next(owners, None)

    def owners(self) -> list[str]:
        """Return the names of all owners."""
        present = (keys for keys in (self._variable, self._file_keys) if keys is not None)
        return [name for keys in present for name in keys.digests]

    def _reload(self) -> None:
        now = self._clock()
        if self._path is None or now < self._next_check:
            return
        self._next_check = now + _CHECK_INTERVAL
        version = _file_version(self._path)
        if version == self._version:
            return
        self._version = version
        if version is not None and not version[-1]:
            text = _(
                "%s was replaced by a file that this container does not see: restart it, and "
                "change the file in place next time."
            )
            log.warning(text, self._path)
            return
        try:
            self._file_keys = _parse(_text(self._path), str(self._path))
        except UsageError as error:
            log.warning(_("The keys stay as they were: %s"), error)
            return
        if not self._file_keys.digests:
            log.warning(_("The key file is empty: all of its keys are revoked."))
        else:
            log.warning(_("The key file was reloaded: %d keys."), len(self._file_keys.digests))


def _file_version(path: Path | None) -> tuple[int, ...] | None:
    """Return a value that changes when the file does; None where there is none.

    The last number is that of the file's names: 0 where it was mounted by itself and another one
    has taken its place since.
    """
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_nlink
