"""Orders at run time: ``POST /_control`` and ``GET /_control/log``.

``POST /_control`` takes a JSON object; its keys are done in this order, and the answer is what is
set now:

* ``"clear": true``: no plan, the style the server was started with
* ``"plan": ["503:burst=20"]``, with ``"rate"`` and ``"seed"`` if wanted
* ``"answers": "latency=0.2;rate=50"``: on top of the present style
* ``"reset_log": true``
* ``"down": 2.5``: seconds out of reach, from right after this response

``GET /_control/log`` is the log (``log.Log``) in JSON; ``?records=0`` leaves the records out.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from .exchange import JSON
from .orders import OrderError, parse_style

if TYPE_CHECKING:
    from .app import Server

__all__ = ["control_routes"]

KEYS = ("clear", "plan", "rate", "seed", "answers", "reset_log", "down")


def control_routes(server: Server) -> list[web.RouteDef]:
    """The routes of one server's control."""
    tasks: set[asyncio.Task[None]] = set()

    async def control(request: web.Request) -> web.Response:
        try:
            settings = orjson.loads(await request.read())
            seconds = _apply(server, settings)
        except (OrderError, orjson.JSONDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if seconds is not None:
            # After the response has left: the connection it leaves by goes down too.
            task = asyncio.create_task(_down_soon(server, seconds))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return _json({"plan": [asdict(one) for one in server.plan.orders], "style": server.style})

    async def log(request: web.Request) -> web.Response:
        whole = server.log.as_json()
        if request.query.get("records") == "0":
            del whole["records"]
        return _json(whole)

    return [web.post("/_control", control), web.get("/_control/log", log)]


def _apply(server: Server, settings: object) -> float | None:
    """Apply the settings; return the seconds to be down, if any. Raises OrderError."""
    if not isinstance(settings, dict) or not set(settings) <= set(KEYS):
        raise OrderError(f"a control order is a JSON object with keys out of: {', '.join(KEYS)}")
    plan, answers, seconds = settings.get("plan"), settings.get("answers"), settings.get("down")
    if plan is not None and not (
        isinstance(plan, list) and all(isinstance(one, str) for one in plan)
    ):
        raise OrderError("plan is a list of orders such as ['503:burst=20']")
    if answers is not None and not isinstance(answers, str):
        raise OrderError("answers is a style such as 'latency=0.2;rate=50'")
    if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds <= 3600):
        raise OrderError("down is a number of seconds from 0 to 3600")
    if settings.get("clear"):
        server.set_plan([])
        server.style = parse_style(server.options.answers)
    if plan is not None:
        server.set_plan(plan, settings.get("rate"), int(settings.get("seed") or 0))
    if answers is not None:
        server.set_style(answers)
    if settings.get("reset_log"):
        server.reset_log()
    return None if seconds is None else float(seconds)


async def _down_soon(server: Server, seconds: float) -> None:
    await asyncio.sleep(0.05)
    await server.down(seconds)


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), headers=JSON)
