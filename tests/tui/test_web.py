"""The browser's way in: who is let in, and who is not."""

import gc
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

pytest.importorskip("textual_serve", reason="textual-serve is not installed")

from qchat.tui.web import ChatServer

# textual-serve leaves its processes to be collected: here, while their loop runs.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_CHAT = (
    "import sys, time; sys.stdout.write('__GANGLION__\\n'); sys.stdout.flush(); sys.stdin.read(1)"
)


@dataclass
class Page:
    server: ChatServer
    browser: aiohttp.ClientSession
    url: str
    address: str


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened() as page:
        yield page


@asynccontextmanager
async def opened() -> AsyncIterator[Page]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = ChatServer(f'{sys.executable} -c "{_CHAT}"', port, reload_command=_CHAT)
        runner = web.AppRunner(await server.make_app())
        await runner.setup()
        await web.SockSite(runner, listener).start()
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address, as browsers keep them
        try:
            async with aiohttp.ClientSession(cookie_jar=jar) as browser:
                yield Page(server, browser, f"http://127.0.0.1:{port}", server.address)
        finally:
            await runner.cleanup()
            gc.collect()


async def status(page: Page, path: str, **headers: str) -> int:
    async with page.browser.get(page.url + path, headers=headers) as answer:
        return answer.status


async def ws_status(page: Page, **headers: str) -> int:
    """101, or what the websocket was refused with."""
    try:
        async with page.browser.ws_connect(f"{page.url}/ws", headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as e:
        return e.status


async def test_the_address_lets_in_once(page: Page) -> None:
    async with page.browser.get(page.address) as answer:
        text = await answer.text()
        assert (answer.status, answer.url.path_qs) == (200, "/")
        assert f"ws://127.0.0.1:{page.server.port}/ws" in text
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert await status(page, "/static/js/textual.js") == 200
    async with aiohttp.ClientSession() as other, other.get(page.address) as answer:
        assert answer.status == 403


async def test_a_page_with_the_cookie_gets_a_chat(page: Page) -> None:
    await status(page, page.address.removeprefix(page.url))
    assert await ws_status(page, Origin=page.url) == 101


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=wrong", "/static/js/textual.js", "/download/x", "/ws"]
)
async def test_nothing_without_the_token(page: Page, path: str) -> None:
    assert await status(page, path, Origin=page.url) == 403
    assert await ws_status(page, Origin=page.url) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Host": "evil.example:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Host": "localhost:{port}"},
    ],
)
async def test_a_foreign_page_is_refused_even_with_the_cookie(
    page: Page, headers: dict[str, str]
) -> None:
    assert await status(page, page.address.removeprefix(page.url)) == 200
    sent = {name: value.format(port=page.server.port) for name, value in headers.items()}
    assert await ws_status(page, **sent) == 403
    assert await status(page, "/", **sent) == 403


async def test_a_websocket_must_say_where_it_comes_from(page: Page) -> None:
    assert await status(page, page.address.removeprefix(page.url)) == 200
    assert await ws_status(page) == 403


async def test_a_foreign_host_does_not_use_the_token_up(page: Page) -> None:
    query = page.address.removeprefix(page.url)
    assert await status(page, query, Host="evil.example") == 403
    assert await status(page, query) == 200


async def test_no_list_of_files(page: Page) -> None:
    assert await status(page, page.address.removeprefix(page.url)) == 200
    assert await status(page, "/static/") == 403
    assert await status(page, "/static/../server.py") == 404
