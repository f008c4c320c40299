"""An uploaded file: from the form of a request to a private file, in pieces, within bounds."""

import asyncio
import contextlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from ...sanitize import one_line
from ..planning.batch_options import BatchOptions
from .api_errors import ApiError, invalid
from .objects import BATCH, StoredFile, new_id
from .store import BatchStore

MAX_FILES = 10_000  # of an owner
MAX_UPLOADS = 8  # of an owner, at the same time
FREE_BYTES = 512 << 20
"""Bytes that stay free on the disk: the answers of running batches need room, too."""
MIN_EXPIRY, MAX_EXPIRY = 3600, 30 * 86400  # seconds, as OpenAI has them
_CHUNK = 1 << 18
_FORM_BYTES = 16 << 10
"""Bytes of a request that are not the file's, at most: the length that is declared has them."""
_MAX_PARTS = 32  # of a form; few of them mean something
_MAX_FIELD = 4096  # bytes of a field that is no file
_MAX_NAME = 255


@dataclass(slots=True)
class _Form:
    fields: dict[str, str] = field(default_factory=dict)
    name: str | None = None  # of the file
    size: int = 0  # of the file, as far as it has come
    reserved: int = 0  # bytes that the owner's quota has room for


class Uploads:
    """The uploads of all owners."""

    def __init__(self, store: BatchStore, options: BatchOptions) -> None:
        self._store = store
        self._options = options
        self._running: Counter[str] = Counter()
        self._arriving: Counter[str] = Counter()  # bytes of files that are not stored yet
        self._unwritten = 0  # bytes of all that have room, and have not come yet

    async def receive(self, owner: str, request: web.Request, now: int) -> StoredFile:
        """Store the file of a request. Raises `ApiError`."""
        declared = max(0, (request.content_length or 0) - _FORM_BYTES)
        file_id = new_id("file-")
        scratch = self._store.contents / f".{file_id}"
        with self._counted(owner) as form:
            self._reserve(owner, form, declared)
            try:
                await self._read(owner, request, scratch, form)
                file = _file(form, file_id, owner, now)
                await asyncio.to_thread(_place, scratch, self._store.content(file_id))
                self._store.add_file(file)
            except OSError as error:
                raise ApiError(507, f"The file can't be stored: {error.strerror}.") from error
            finally:
                with contextlib.suppress(OSError):
                    scratch.unlink()
        return file

    @contextlib.contextmanager
    def _counted(self, owner: str) -> Iterator[_Form]:
        if self._running[owner] >= MAX_UPLOADS:
            text = f"{MAX_UPLOADS} uploads run at the same time; wait for one of them."
            raise ApiError(429, text, "too_many_uploads", retry_after=1)
        self._running[owner] += 1
        form = _Form()
        try:
            yield form
        finally:
            self._running[owner] -= 1
            self._arriving[owner] -= form.reserved  # stored, and counted there, or gone
            self._unwritten -= form.reserved - form.size
            if not self._running[owner]:
                del self._running[owner]
                del self._arriving[owner]

    def _reserve(self, owner: str, form: _Form, size: int) -> None:
        """Have room for a file of `size` bytes, or raise `ApiError`."""
        more = size - form.reserved
        if more > 0 or not form.reserved:
            self._check_room(owner, more)
            self._arriving[owner] += more
            self._unwritten += more
            form.reserved = size

    def _check_room(self, owner: str, more: int) -> None:
        """Raise `ApiError` unless `more` bytes may come: before any of them is written."""
        quota = self._options.quota_bytes
        used = self._store.used_bytes(owner) + self._arriving[owner]
        if used + more > quota:
            text = f"Your files have {used:,} of at most {quota:,} bytes; delete some first."
            raise ApiError(403, text, "quota_exceeded")
        if self._store.count_files(owner) >= MAX_FILES:
            text = f"You have {MAX_FILES:,} files, the most there can be; delete some first."
            raise ApiError(403, text, "quota_exceeded")
        free = shutil.disk_usage(self._store.contents).free
        if free < more + self._unwritten + FREE_BYTES:
            raise ApiError(507, "The server's disk is full.", "insufficient_storage")

    async def _read(self, owner: str, request: web.Request, scratch: Path, form: _Form) -> None:
        parts = 0
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                parts += 1
                if parts > _MAX_PARTS:
                    raise invalid(f"The form has more than {_MAX_PARTS} parts.", None)
                if not isinstance(part, BodyPartReader):
                    raise invalid("The form must not have a form in it.", "file")
                name, filename = _names(part)
                if name == "file" and form.name is None:
                    form.name = filename or "upload.jsonl"
                    await self._write(owner, part, scratch, form)
                elif name is not None:
                    form.fields[name] = await _text(part)
        except (ValueError, AssertionError, web.HTTPException, HttpProcessingError) as error:
            text = "The body must be a form (multipart/form-data) with 'purpose' and 'file'."
            raise invalid(text, None, "invalid_form") from error

    async def _write(self, owner: str, part: BodyPartReader, scratch: Path, form: _Form) -> None:
        max_bytes = self._options.max_file_bytes
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as output:
            while chunk := await part.read_chunk(_CHUNK):
                size = form.size + len(chunk)
                if size > max_bytes:
                    text = f"The file is larger than {max_bytes:,} bytes."
                    raise ApiError(413, text, "file_too_large", "file")
                self._reserve(owner, form, size)  # a length may be left out, or wrong
                self._unwritten -= size - form.size
                form.size = size
                output.write(chunk)


def _names(part: BodyPartReader) -> tuple[str | None, str | None]:
    """Return the name of a part, and that of its file."""
    if part.name is not None:
        return part.name, part.filename
    # aiohttp gives up on a file's name with two semicolons.
    header = Message()
    header["Content-Disposition"] = part.headers.get("Content-Disposition", "")
    name = header.get_param("name", header="Content-Disposition")
    return (name if isinstance(name, str) else None), header.get_filename()


async def _text(part: BodyPartReader) -> str:
    data = bytearray()
    while chunk := await part.read_chunk(_MAX_FIELD):
        data += chunk
        if len(data) > _MAX_FIELD:
            raise invalid(f"The field {one_line(part.name or '')!r} is too long.")
    return data.decode("utf-8", "replace")


def _place(scratch: Path, content: Path) -> None:
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    scratch.rename(content)
    folder = os.open(content.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _file(form: _Form, file_id: str, owner: str, now: int) -> StoredFile:
    """Return the file of a form. Raises `ApiError`."""
    purpose = form.fields.get("purpose")
    if form.name is None:
        raise invalid("'file' is a required property.", "file", "missing_required_parameter")
    if purpose is None:
        raise invalid("'purpose' is a required property.", "purpose", "missing_required_parameter")
    if purpose != BATCH:
        raise invalid(f"This server takes files with the purpose '{BATCH}' alone.", "purpose")
    if form.size == 0:
        raise invalid("The file is empty.", "file", "empty_file")
    seconds = expiry(
        {
            "anchor": form.fields.get("expires_after[anchor]"),
            "seconds": form.fields.get("expires_after[seconds]"),
        },
        "expires_after",
    )
    name = one_line(form.name)[:_MAX_NAME]
    expires_at = None if seconds is None else now + seconds
    return StoredFile(file_id, owner, name, purpose, form.size, now, expires_at)


def expiry(values: Mapping[str, object], param: str) -> int | None:
    """Return the seconds of OpenAI's ``expires_after``; None without one. Raises `ApiError`."""
    anchor, seconds = values.get("anchor"), values.get("seconds")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid(f"'{param}.anchor' must be 'created_at'.", f"{param}.anchor")
    text = str(seconds)
    if isinstance(seconds, bool) or not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise invalid(f"'{param}.seconds' must be a whole number.", f"{param}.seconds")
    if not MIN_EXPIRY <= int(text) <= MAX_EXPIRY:
        message = f"'{param}.seconds' must be between {MIN_EXPIRY} and {MAX_EXPIRY}."
        raise invalid(message, f"{param}.seconds")
    return int(text)
