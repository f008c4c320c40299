"""The process of the Batch API: ``python -m qchat.serve.batches.service``, its settings on stdin.

It answers on a private Unix socket, to whoever has the secret of the supervisor. A fault of it, or
a kill, never reaches vLLM's process; the next one goes on where this one ended.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from ... import lifeline, locks
from ...errors import EngineError, Exit, QchatError
from ...i18n import _
from ...settings import private_dir
from ..access.batch_handover import MAX_FORM_BYTES
from .api_errors import ApiError
from .batches_api import BatchesApi
from .child import remove_run
from .files_api import FilesApi
from .own_server import OwnServer
from .queue import BatchQueue
from .requests import error_answer
from .service_settings import ServiceSettings
from .store import BatchStore, StoreVersionError
from .upload import Uploads

_LOCK_PATIENCE = 60.0  # seconds: the service before this one may be ending
_SHUTDOWN = 2.0  # seconds for requests

_log = logging.getLogger("qchat.batches")


def application(settings: ServiceSettings, store: BatchStore, queue: BatchQueue) -> web.Application:
    """Return the application behind the socket."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        owner = settings.delegation.identity(token)
        if owner is None:
            return error_answer(ApiError(401, "The token is wrong.", "invalid_api_key"))
        request["owner"] = owner
        try:
            return await handler(request)
        except ApiError as error:
            return error_answer(error)
        except web.HTTPException as error:
            code = "not_found" if error.status == 404 else "invalid_request"
            return error_answer(ApiError(error.status, error.reason, code))
        except sqlite3.Error as error:
            _log.exception("database")
            return error_answer(ApiError(503, f"Can't be stored: {error}.", "storage", None, 5))
        except Exception:
            _log.exception("%s %s", request.method, request.path)
            return error_answer(ApiError(500, "The server has met a fault.", "internal_error"))

    max_size = settings.options.max_file_bytes + MAX_FORM_BYTES
    app = web.Application(middlewares=[guard], client_max_size=max_size)
    app.add_routes(FilesApi(store, Uploads(store, settings.options)).routes())
    app.add_routes(BatchesApi(store, queue, settings.options, settings.endpoints).routes())
    return app


async def serve(settings: ServiceSettings, stopping: asyncio.Event) -> None:
    """Answer requests and work on batches until `stopping` is set."""
    store = BatchStore(settings.folder)
    server = OwnServer(settings.url)
    try:
        store.sweep()
        store.collect()
        _sweep_runs(store)
        queue = BatchQueue(store, settings, server)
        runner = web.AppRunner(
            application(settings, store, queue),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN,
        )
        await runner.setup()
        work = asyncio.create_task(queue.run())
        stop = asyncio.create_task(stopping.wait())
        try:
            await _listen(runner, Path(settings.delegation.socket))
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # its exception
        finally:
            await runner.cleanup()
            await queue.close()
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
    finally:
        await server.close()
        store.close()


def _private_place(path: Path) -> None:
    """Make the place of the socket free. Raises `EngineError` where others could listen there."""
    folder = private_dir(path.parent)
    # The folder itself: a link may have been put there by somebody else.
    status = folder.lstat()
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not is_own or stat.S_IMODE(status.st_mode) & 0o077:
        text = _("The folder {folder} of the socket is not private: remove it.")
        raise EngineError(text.format(folder=folder))
    path.unlink(missing_ok=True)


async def _listen(runner: web.AppRunner, path: Path) -> None:
    _private_place(path)
    before = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(before)


def _sweep_runs(store: BatchStore) -> None:
    """Remove the journals of batches that have ended or are gone."""
    needed = {batch.id for batch in store.open_batches()}
    for folder in store.runs.iterdir():
        if folder.name not in needed:
            remove_run(folder)


async def _run(settings: ServiceSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    await serve(settings, stopping)


def main() -> int:
    """Serve until a signal, or the end of the supervisor, and return the exit code."""
    logging.basicConfig(format="(qchat batches) %(levelname)s %(asctime)s %(message)s")
    lifeline.die_with_parent(signal.SIGTERM, grace=20.0)
    try:
        settings = ServiceSettings.from_json(sys.stdin.read())
        private_dir(settings.folder)
        lock = locks.FileLock(settings.folder / "lock")
        with contextlib.ExitStack() as stack:
            lock.acquire(_LOCK_PATIENCE)
            stack.callback(lock.release)
            asyncio.run(_run(settings))
    except BlockingIOError:
        _log.error("Another service has %s.", settings.folder)
        return Exit.ENGINE
    except StoreVersionError as error:
        _log.error("%s was written by a later version of qchat.", error)
        return Exit.USAGE
    except (QchatError, OSError, sqlite3.Error) as error:
        _log.error("%s", error)
        return Exit.ENGINE
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
