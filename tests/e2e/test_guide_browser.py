"""The guide's web page in a real browser, against a server that streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from ..faults import running
from .browser import chromium

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"


@asynccontextmanager
async def site(page: Path, server: str) -> AsyncIterator[str]:
    """A site with the page, which also passes requests on to the server: one origin for both."""

    async def html(_request: web.Request) -> web.Response:
        return web.Response(text=page.read_text("utf-8"), content_type="text/html")

    async def ask(request: web.Request) -> web.StreamResponse:
        async with (
            aiohttp.ClientSession() as session,
            session.post(server + request.path, json=await request.json()) as answer,
        ):
            response = web.StreamResponse(status=answer.status, headers={"X-From": "server"})
            await response.prepare(request)
            async for data in answer.content.iter_any():
                for at in range(0, len(data), 7):  # lines come in pieces
                    await response.write(data[at : at + 7])
            return response

    app = web.Application()
    app.router.add_get("/", html)
    app.router.add_post("/v1/chat/completions", ask)
    runner = web.AppRunner(app)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.needs_tool("chromium")
@pytest.mark.parametrize("page", [CLIENTS / "browser.html", CLIENTS / "en" / "browser.html"])
async def test_the_page_shows_the_answer_as_text(tmp_path: Path, page: Path) -> None:
    with running(models=["Qwen3-32B"]) as server:
        async with site(page, server.url) as url, chromium(tmp_path) as tab:
            await tab.call("Page.navigate", url=f"{url}/?base_url={url}")
            question = "<b>bold</b> & 你好"
            async with asyncio.timeout(60):
                while not await tab.evaluate("document.querySelector('form') !== null"):
                    await asyncio.sleep(0.05)
                await tab.evaluate(
                    f"document.querySelector('input').value = {question!r};"
                    "document.querySelector('form').requestSubmit()"
                )
                output = "document.querySelector('pre').textContent"
                while question not in str(text := await tab.evaluate(output)):
                    await asyncio.sleep(0.05)
            assert text == f"echo: {question}"
            assert await tab.evaluate("document.querySelector('pre b')") is None
            server.set_plan("400")
            await tab.evaluate("document.querySelector('form').requestSubmit()")
            async with asyncio.timeout(60):
                while "400" not in str(await tab.evaluate(output)):
                    await asyncio.sleep(0.05)
            assert not tab.failed
