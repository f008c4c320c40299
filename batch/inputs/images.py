"""Images that rows name in a column, as parts of their chat messages: `--image-column`.

A path leads to a file below the input's folder or `--media-root`, links resolved, and the file is
an image by its first bytes: no row can send another file of this machine to a server. An address
on the web is passed on as it is; nothing is fetched here.
"""

import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ..request import fingerprint
from .formats.remote import RemoteFile
from .lines import BadLineError
from .template import EmptyCellError, EmptyRule

MAX_BYTES = 20_000_000
"""Bytes of an image file."""

MAX_IMAGES = 64
"""Images of one row."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
}
_TYPES = "PNG, JPEG, GIF, WebP"


@dataclass(frozen=True, slots=True)
class ImageColumn:
    """The column `name`, and the folder that its files are below: `--media-root`, or that of the
    input. Without either (an input that is no file here), paths are refused."""

    name: str
    root: Path | None = None

    @classmethod
    def of_options(cls, name: str | None, root: str | None) -> "ImageColumn | None":
        """Return what the options say. Raises `UsageError`."""
        if name is None:
            if root is not None:
                raise UsageError(_("--media-root is the folder of --image-column's files."))
            return None
        if root is not None and not Path(root).is_dir():
            raise UsageError(_("--media-root: there is no folder {path}.").format(path=root))
        return cls(name, None if root is None else Path(root).resolve())

    def below(self, location: Path | RemoteFile) -> "ImageColumn":
        """Return the column for one input: its folder is the root where no other is given."""
        if self.root is not None or isinstance(location, RemoteFile):
            return self
        if str(location).startswith("/dev/fd/"):
            return self
        return replace(self, root=location.resolve().parent)

    def add_to(self, body: JsonObject, row: Mapping[str, Any], rule: EmptyRule) -> JsonObject:
        """Return a chat's body with the row's images before the text of its last user message.

        Raises `BadLineError` for a column that is not there, or an image that can't be used, and
        `EmptyCellError` for a row to skip.
        """
        if self.name not in row:
            text = _("no column '{name}' for --image-column")
            raise BadLineError(text.format(name=self.name))
        value = row[self.name]
        names = value if isinstance(value, list) else [value]
        names = [name for name in names if not (name is None or name == "")]
        if not names:
            if rule is EmptyRule.SKIP:
                raise EmptyCellError
            if rule is EmptyRule.ERROR:
                text = _("the column '{name}' is empty; see --empty")
                raise BadLineError(text.format(name=self.name))
            return body
        if len(names) > MAX_IMAGES:
            raise BadLineError(_("more than {n} images").format(n=MAX_IMAGES))
        images = [{"type": "image_url", "image_url": {"url": self._url(name)}} for name in names]
        messages = list(body["messages"])
        at = max((n for n, one in enumerate(messages) if one.get("role") == "user"), default=None)
        if at is None:
            raise BadLineError(_("no message of the user that an image could belong to"))
        content = messages[at].get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        messages[at] = {**messages[at], "content": [*images, *parts]}
        return {**body, "messages": messages}

    def _url(self, name: Any) -> str:
        if not isinstance(name, str):
            text = _("the column '{name}' must hold paths or URLs of images")
            raise BadLineError(text.format(name=self.name))
        try:
            is_url = "://" in name or name[:5] == "data:"
            scheme = urlsplit(name).scheme.lower() if is_url else ""
        except ValueError:  # "http://[": no address at all
            raise BadLineError(_("the image {name!r} is no URL").format(name=name)) from None
        if scheme in ("http", "https") or name.startswith("data:image/"):
            return name
        if scheme:
            text = _("an image is named by a path, or by http(s), not by {scheme}")
            raise BadLineError(text.format(scheme=f"{scheme}:"))
        return self._data_url(name)

    def _data_url(self, name: str) -> str:
        if self.root is None:
            raise BadLineError(_("a path of an image needs --media-root here"))
        try:
            path = Path(os.path.realpath(self.root / name))
            if not path.is_relative_to(self.root):
                raise BadLineError(self._outside(name))
            data = self._read(path, name)
        except OSError as error:
            text = _("the image {name} can't be read: {reason}")
            raise BadLineError(text.format(name=name, reason=error.strerror)) from None
        except ValueError as error:
            if isinstance(error, BadLineError):
                raise
            raise BadLineError(_("the image {name!r} is no path").format(name=name)) from None
        kind = image_type(data)
        if kind is None:
            text = _("{name} is no image ({types}) by its first bytes")
            raise BadLineError(text.format(name=name, types=_TYPES))
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    def _read(self, path: Path, name: str) -> bytes:
        """Read a file; what stands at `path` may change meanwhile."""
        assert self.root is not None
        # Not blocking: a pipe would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            opened = Path(f"/proc/self/fd/{fd}")
            if opened.exists() and not opened.resolve().is_relative_to(self.root):
                raise BadLineError(self._outside(name))
            if not stat.S_ISREG(status.st_mode):
                raise BadLineError(_("{name} is no file").format(name=name))
            data = file.read(MAX_BYTES + 1) if status.st_size <= MAX_BYTES else None
        if data is None or len(data) > MAX_BYTES:
            text = _("the image {name} is larger than {n} MB")
            raise BadLineError(text.format(name=name, n=MAX_BYTES // 1_000_000))
        return data

    def _outside(self, name: str) -> str:
        text = _("the image {name} is not below {root}; see --media-root")
        return text.format(name=name, root=self.root)


def fingerprint_with_images(mark: int, body: JsonObject) -> int:
    """Return a line's fingerprint with that of the image files in its request, if it has any: a row
    whose image is another one on disk is another row, though its line is the same."""
    contents = [message.get("content") for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    urls = [part["image_url"]["url"] for part in parts if _is_image(part)]
    data = [url for url in urls if isinstance(url, str) and url.startswith("data:")]
    return fingerprint("\n".join([f"{mark:x}", *data])) if data else mark


def _is_image(part: Any) -> bool:
    image = part.get("image_url") if isinstance(part, dict) else None
    return isinstance(image, dict) and "url" in image


def image_type(data: bytes) -> str | None:
    """Return the type of an image by its first bytes; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def without_image_data(message: Any) -> Any:
    """Return a message whose images, where they stand in it as a whole, are their types alone."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    return {**message, "content": [_without_data(part) for part in content]}


def _without_data(part: Any) -> Any:
    image = part.get("image_url") if isinstance(part, dict) else None
    if not isinstance(image, dict):
        return part
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith("data:"):
        return part
    return {**part, "image_url": {**image, "url": url.partition(",")[0] + ",…"}}
