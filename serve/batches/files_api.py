"""``/v1/files``: upload, list, retrieve, content, delete."""

import asyncio
import time

from aiohttp import web

from .api_errors import no_file
from .objects import StoredFile
from .requests import json_answer, list_answer, owner_of, page_of
from .store import BatchStore
from .upload import Uploads

_MAX_LIMIT = 10_000


class FilesApi:
    """The handlers of files."""

    def __init__(self, store: BatchStore, uploads: Uploads) -> None:
        self._store = store
        self._uploads = uploads

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/files", self.upload),
            web.get("/v1/files", self.list),
            web.get("/v1/files/{id}", self.retrieve),
            web.get("/v1/files/{id}/content", self.content),
            web.delete("/v1/files/{id}", self.delete),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        """Store a file."""
        file = await self._uploads.receive(owner_of(request), request, int(time.time()))
        return json_answer(file.as_json())

    async def list(self, request: web.Request) -> web.Response:
        """Return a page of the owner's files."""
        page = page_of(request, _MAX_LIMIT, _MAX_LIMIT)
        purpose = request.query.get("purpose") or None
        return list_answer(page, self._store.files(owner_of(request), page, purpose))

    async def retrieve(self, request: web.Request) -> web.Response:
        """Return one file's object."""
        return json_answer(self._file(request).as_json())

    async def content(self, request: web.Request) -> web.StreamResponse:
        """Return a file's content."""
        file = self._file(request)
        path = self._store.content(file.id)
        if not await asyncio.to_thread(path.exists):
            raise no_file(file.id)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{file.id}.jsonl"',
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a file."""
        file_id = request.match_info["id"]
        if not self._store.delete_file(owner_of(request), file_id):
            raise no_file(file_id)
        return json_answer({"id": file_id, "object": "file", "deleted": True})

    def _file(self, request: web.Request) -> StoredFile:
        file_id = request.match_info["id"]
        file = self._store.file(owner_of(request), file_id)
        if file is None:
            raise no_file(file_id)
        return file
