"""``/v1/batches``: create, list, retrieve, cancel."""

import re
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ..planning.batch_options import BatchOptions
from .api_errors import ApiError, invalid, no_batch, no_file
from .objects import CANCELLED, CANCELLING, StoredBatch, new_id
from .queue import BatchQueue
from .requests import json_answer, json_body, list_answer, owner_of, page_of
from .store import BatchStore
from .upload import expiry

MAX_OPEN = 100  # batches of an owner that have not ended
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512  # of the metadata, as OpenAI has them
_WINDOW = re.compile(r"([1-9][0-9]{0,3})(m|h|d)", re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_MAX_WINDOW = 30 * 86400  # seconds


class BatchesApi:
    """The handlers of batches."""

    def __init__(
        self,
        store: BatchStore,
        queue: BatchQueue,
        options: BatchOptions,
        endpoints: Sequence[str],
    ) -> None:
        """`endpoints` are those that a batch may ask."""
        self._store = store
        self._queue = queue
        self._options = options
        self._endpoints = endpoints

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/batches", self.create),
            web.get("/v1/batches", self.list),
            web.get("/v1/batches/{id}", self.retrieve),
            web.post("/v1/batches/{id}/cancel", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a batch of a file."""
        batch = self._new(owner_of(request), await json_body(request), int(time.time()))
        self._store.add_batch(batch)
        self._queue.wake()
        return json_answer(batch.as_json())

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of the owner's batches."""
        page = page_of(request, _DEFAULT_LIMIT, _MAX_LIMIT)
        return list_answer(page, self._store.batches(owner_of(request), page))

    async def retrieve(self, request: web.Request) -> web.Response:
        """Return one batch."""
        return json_answer(self._batch(request).as_json())

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a batch; what was answered is kept."""
        batch = self._batch(request)
        if batch.status not in (CANCELLING, CANCELLED) and not self._queue.cancel(batch):
            text = f"Cannot cancel a batch with status '{batch.status}'."
            raise ApiError(409, text, "invalid_status", "batch_id")
        return json_answer(self._batch(request).as_json())

    def _batch(self, request: web.Request) -> StoredBatch:
        batch_id = request.match_info["id"]
        batch = self._store.batch(owner_of(request), batch_id)
        if batch is None:
            raise no_batch(batch_id)
        return batch

    def _new(self, owner: str, values: dict[str, Any], now: int) -> StoredBatch:
        """Return the batch that a request describes. Raises `ApiError`."""
        for name in ("input_file_id", "endpoint", "completion_window"):
            if values.get(name) is None:
                text = f"Missing required parameter: '{name}'."
                raise invalid(text, name, "missing_required_parameter")
            if not isinstance(values[name], str):
                raise invalid(f"'{name}' must be a text.", name)
        endpoint = values["endpoint"]
        if endpoint not in self._endpoints:
            text = f"'endpoint' must be one of: {', '.join(self._endpoints)}."
            raise invalid(text, "endpoint")
        window = _window(values["completion_window"])
        metadata = _metadata(values.get("metadata"))
        output_expires = values.get("output_expires_after")
        if not isinstance(output_expires, dict | None):
            raise invalid("'output_expires_after' must be an object.", "output_expires_after")
        file = self._store.file(owner, values["input_file_id"])
        if file is None:
            raise no_file(values["input_file_id"][:128])
        if self._store.count_open(owner) >= MAX_OPEN:
            text = f"{MAX_OPEN} of your batches have not ended yet, the most there can be."
            raise ApiError(429, text, "too_many_batches", retry_after=30)
        if self._store.used_bytes(owner) >= self._options.quota_bytes:
            text = "Your files leave no room for the results; delete some first."
            raise ApiError(403, text, "quota_exceeded")
        return StoredBatch(
            id=new_id("batch_"),
            owner=owner,
            endpoint=endpoint,
            input_file_id=file.id,
            completion_window=values["completion_window"],
            created_at=now,
            expires_at=now + window,
            metadata=metadata,
            output_expires=expiry(output_expires or {}, "output_expires_after"),
        )


def _window(text: str) -> int:
    """Return the seconds of a completion window. Raises `ApiError`."""
    match = _WINDOW.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _MAX_WINDOW:
        message = "'completion_window' must be a time such as '24h', at most '30d'."
        raise invalid(message, "completion_window")
    return seconds


def _metadata(value: Any) -> dict[str, str] | None:
    """Return the metadata, within OpenAI's bounds. Raises `ApiError`."""
    if value is None:
        return None
    is_fine = isinstance(value, dict) and len(value) <= _MAX_PAIRS
    if not is_fine or not all(
        len(k) <= _MAX_KEY and isinstance(v, str) and len(v) <= _MAX_VALUE for k, v in value.items()
    ):
        text = (
            f"'metadata' must be an object of at most {_MAX_PAIRS} texts; a name has at most "
            f"{_MAX_KEY} characters, a text {_MAX_VALUE}."
        )
        raise invalid(text, "metadata")
    return dict(value)
