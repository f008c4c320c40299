"""Inputs behind a URL: any scheme that fsspec knows."""

import io
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

from ....errors import UsageError
from ....i18n import _
from ..extras import require
from .source import UnreadableInputError

BLOCK = 4 << 20
"""Bytes that are fetched at once."""

TRIES, PAUSE = 3, 0.5
"""How often a piece is fetched before the reading ends, and seconds before the second try."""

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z]|://)", re.IGNORECASE)


def is_url(name: str) -> bool:
    """Whether the name of an input is a URL."""
    return _URL.match(name) is not None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL, with the parts of a `Path` that inputs use.

    As text it is its URL without what may be a secret: user, password and query.
    """

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def name(self) -> str:
        """The last part of the URL's path."""
        return PurePosixPath(urlsplit(self.url).path).name or "input"

    @property
    def stem(self) -> str:
        """The name without its last ending."""
        return PurePosixPath(self.name).stem

    def open(self) -> io.BufferedReader:
        """Open the file for reading; it can be sought. Raises `UsageError`.

        A server that can't send parts of a file is read to a private file on disk first.
        """
        fsspec = require("fsspec", _("a URL"))
        try:
            handle = fsspec.open(self.url, "rb", **_options(self.url, BLOCK)).open()
            if not _has_parts(handle):
                handle.close()
                handle = _copy(fsspec.open(self.url, "rb", **_options(self.url, 0)).open())
        except Exception as error:  # every file system has errors of its own
            text = _("{url} can't be read: {reason}.")
            raise UsageError(text.format(url=self, reason=self.describe(error))) from None
        return io.BufferedReader(_RemoteStream(handle, self.describe), 1 << 20)

    def describe(self, error: Exception) -> str:
        """Return what an error of a file system means, in a person's words where it is a known one,
        and without the URL, whose query may be a secret."""
        if (known := _known_reason(error)) is not None:
            return known
        reason = " ".join(str(error).split()).replace(self.url, str(self))
        reason = re.sub(r"\?\S+", "", reason)[:300].rstrip(".")
        return reason or type(error).__name__


def _known_reason(error: Exception) -> str | None:
    """Return the meaning of an error by its class: every file system has classes of its own, those
    of the web are aiohttp's."""
    names = {one.__name__ for one in type(error).__mro__}
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return _("there is no such file")
    if isinstance(error, PermissionError) or status in (401, 403):
        return _("access is denied; are the credentials right?")
    if isinstance(status, int) and "ClientResponseError" in names:
        return _("the server answered with status {status}").format(status=status)
    if isinstance(error, TimeoutError):
        return _("no answer in time")
    if names & {"ClientPayloadError", "ServerDisconnectedError", "ConnectionResetError"}:
        return _("the connection broke")
    if names & {"ClientConnectorError", "ConnectionError"}:
        return _("there is no connection to the server")
    if "NoCredentialsError" in names:
        return _("there are no credentials for it")
    return None


def expand_url(url: str) -> list[RemoteFile]:
    """Return the files that a URL names, several for a pattern or a folder. Raises `UsageError`."""
    parts = urlsplit(url)
    is_http = parts.scheme in ("http", "https")
    if "*" not in parts.path and (is_http or not parts.path.endswith("/")):
        return [RemoteFile(url)]
    fsspec = require("fsspec", _("a URL"))
    try:
        file_system, path = fsspec.core.url_to_fs(url)
        names = file_system.glob(path) if "*" in parts.path else file_system.find(path)
        return [RemoteFile(file_system.unstrip_protocol(name)) for name in sorted(names)]
    except Exception as error:
        text = _("{url} can't be listed: {reason}.")
        raise UsageError(
            text.format(url=RemoteFile(url), reason=RemoteFile(url).describe(error))
        ) from None


def _options(url: str, block: int) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("http", "https"):
        return {}
    import aiohttp

    # By default a whole download has five minutes.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    return {"block_size": block, "client_kwargs": {"timeout": timeout}}


def _has_parts(handle: Any) -> bool:
    """Whether a later part of the file can be read without what stands before."""
    if not handle.seekable():
        return False
    if not getattr(handle, "size", None) or handle.size < 2:
        return True
    try:
        handle.seek(handle.size - 1)
        handle.read(1)
        handle.seek(0)
    except ValueError:  # fsspec's, where a server sends the whole file instead of a part
        return False
    return True


def _copy(handle: Any) -> BinaryIO:
    """Copy a stream to an unnamed file on disk."""
    with handle:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        shutil.copyfileobj(handle, file, BLOCK)
        file.seek(0)
        return file


class _RemoteStream(io.RawIOBase):
    """A file of fsspec's: a piece that can't be fetched is tried again."""

    def __init__(self, handle: Any, describe: Any) -> None:
        self._handle = handle
        self._describe = describe
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            offset += self._handle.seek(0, io.SEEK_END)
        self._at = offset
        return offset

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        for attempt in range(TRIES):
            try:
                self._handle.seek(self._at)
                data = self._handle.read(len(view))
                break
            except Exception as error:
                if attempt + 1 == TRIES:
                    text = _("the connection broke at byte {at}: {reason}")
                    reason = self._describe(error)
                    raise UnreadableInputError(text.format(at=self._at, reason=reason)) from None
                time.sleep(PAUSE * 2**attempt)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
