"""A stand-in for the launcher that serves a Unix socket: ``python -m tests.engine.uds_server``.

It answers with what the test wants to see of it, and fails as the prompt or the environment orders.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

FAILURE = "UDS_SERVER_FAILURE"
"""Variable: the server prints this text as an error and ends before it listens."""


async def _models(_request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "demo"}]})


async def _chat(request: web.Request) -> web.Response:
    body = await request.json()
    prompt = body["messages"][-1]["content"]
    if prompt == "die":
        os._exit(1)
    if prompt == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if prompt == "lose the engine":  # vLLM answers, and ends a moment later
        print("Failed core proc(s): {'EngineCore': -9}", flush=True)
        request.loop.call_later(0.3, os._exit, 1)
        raise web.HTTPInternalServerError(text='{"error": {"message": "EngineCore died"}}')
    mode = Path(request.app["uds"]).parent.stat().st_mode & 0o777
    text = f"{prompt} {oct(mode)} {os.environ.get('VLLM_API_KEY')} {' '.join(sys.argv[1:])}"
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"completion_tokens": 1}})


def main() -> None:
    """Serve until SIGTERM."""
    if FAILURE in os.environ:
        sys.exit(os.environ[FAILURE])
    parser = argparse.ArgumentParser()
    parser.add_argument("--uds", required=True)
    app = web.Application()
    app["uds"] = parser.parse_known_args()[0].uds
    app.add_routes([web.get("/v1/models", _models), web.post("/v1/chat/completions", _chat)])
    web.run_app(app, path=app["uds"], print=None)


if __name__ == "__main__":
    main()
