"""OpenAI's Batch API for the commands: files and batches of a server.

Importing this module imports the SDK: only commands that send requests do, when they run.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..errors import Code, Failure, UsageError
from ..i18n import _
from ..json_types import JsonObject
from .client import Client, ServerError
from .endpoint import Endpoint

ENDED: Final = ("completed", "failed", "expired", "cancelled")
"""The states that a batch stays in."""
_PAGE: Final = 100
_OBJECTS: Final = ("request_counts", "errors", "metadata")


class BatchesClient:
    """The batches of an endpoint. Use it in a ``with``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = Client(endpoint)
        self._endpoint = endpoint

    def __enter__(self) -> "BatchesClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.__exit__(*exc)

    def batches(self, limit: int | None = None) -> Iterator[JsonObject]:
        """Yield the batches, the newest first. Raises `ServerError`."""
        after: str | None = None
        left = limit
        while left is None or left > 0:
            query: dict[str, Any] = {"limit": _PAGE if left is None else min(left, _PAGE)}
            if after is not None:
                query["after"] = after
            page = self._json("get", "/batches", query=query)
            listed = page.get("data")
            batches = [self._checked(one) for one in listed] if isinstance(listed, list) else []
            yield from batches
            if not batches or not page.get("has_more"):
                return
            after = batches[-1]["id"]
            left = None if left is None else left - len(batches)

    def batch(self, batch_id: str) -> JsonObject:
        """Return one batch. Raises `UsageError` for an unknown id, `ServerError`."""
        return self._checked(self._json("get", f"/batches/{_safe(batch_id)}"))

    def cancel(self, batch_id: str) -> JsonObject:
        """Cancel a batch and return it. Raises `UsageError` where it can't be, `ServerError`."""
        return self._checked(self._json("post", f"/batches/{_safe(batch_id)}/cancel", body={}))

    def create(
        self, file: Path, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> JsonObject:
        """Upload a file and make a batch of it. Raises `UsageError`, `ServerError`."""
        try:
            with file.open("rb") as content:
                uploaded = self._client.upload(content, file.name)
        except OSError as error:
            text = _("Can't read {file}: {reason}.")
            raise UsageError(text.format(file=file, reason=error.strerror)) from error
        body = {
            "input_file_id": self._id(uploaded.get("id")),
            "endpoint": endpoint,
            "completion_window": window,
            "metadata": dict(metadata) or None,
        }
        return self._checked(self._json("post", "/batches", body=body))

    def download(self, file_id: object, output: BinaryIO) -> int:
        """Write the content of a file that a batch names to `output` and return its bytes. Raises
        `ServerError`."""
        size = 0
        for chunk in self._client.download(f"/files/{self._id(file_id)}/content"):
            output.write(chunk)
            size += len(chunk)
        return size

    def _json(self, method: str, path: str, **options: Any) -> JsonObject:
        try:
            value = self._client.request(method, path, **options)
        except ServerError as error:
            failure = error.failure
            if failure.status in (400, 404, 409):
                raise UsageError(self._refusal(failure)) from error
            raise
        if not isinstance(value, dict):
            raise self._bad_response(_("The response is not a JSON object."))
        return value

    def _checked(self, batch: object) -> JsonObject:
        """Return a batch that has an id, and objects where they belong. Raises `ServerError`."""
        if not isinstance(batch, dict) or not all(
            isinstance(batch.get(name), dict | None) for name in _OBJECTS
        ):
            raise self._bad_response(_("The response is not a batch."))
        self._id(batch.get("id"))
        return batch

    def _id(self, value: object) -> str:
        """Return an id of the server's, which stands in paths and names of files. Raises
        `ServerError`."""
        if not isinstance(value, str) or not _is_id(value):
            raise self._bad_response(_("The response has no valid id."))
        return value

    def _bad_response(self, message: str) -> ServerError:
        return ServerError(Failure(Code.BAD_RESPONSE, message), self._endpoint)

    def _refusal(self, failure: Failure) -> str:
        text = _("{url} answered: {message}")
        return text.format(url=self._endpoint.base_url, message=failure.message)


def _is_id(name: str) -> bool:
    return bool(name) and all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in name)


def _safe(name: str) -> str:
    """Return an id for a path. Raises `UsageError` for what can't be one."""
    if not _is_id(name):
        raise UsageError(_("{name!r} is no id.").format(name=name))
    return name
