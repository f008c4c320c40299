"""`qchat tui --web` in a real Chromium, driven through its DevTools protocol."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from qchat import processes

from ..faults import running
from .browser import chromium

_ENTRY = "import sys; sys.argv[0] = 'qchat'; from qchat.__main__ import main; main()"


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The served chat, and its address."""
    with running() as server:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "QCHAT_"))}
        process = subprocess.Popen(
            [sys.executable, "-c", _ENTRY, "tui", "--web", "--base-url", server.base_url],
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, "QCHAT_HOME": str(tmp_path / "home")},
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait(30)


def below(process: subprocess.Popen[str]) -> list[int]:
    return [pid for pid in processes.process_family([process.pid]) if pid != process.pid]


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(30):
        while processes.alive(pids):
            await asyncio.sleep(0.05)


@pytest.mark.needs_tool("chromium")
async def test_a_question_in_the_browser_is_answered(
    tmp_path: Path, chat: tuple[subprocess.Popen[str], str]
) -> None:
    process, address = chat
    async with chromium(tmp_path) as tab:
        await tab.call("Page.navigate", url=address)
        await tab.wait(lambda: "127.0.0.1" in tab.received and "Ask anything" in tab.received)
        await tab.click()
        await tab.type("hello page")
        await tab.enter()
        await tab.wait(lambda: "echo: hello page" in tab.received)
        tab.received = ""
        await tab.call("Page.reload")  # goes on with the conversation
        await tab.wait(lambda: "echo: hello page" in tab.received)
        assert tab.hosts <= {"127.0.0.1", ""}
        # The page's own policy stops the font of another host, and the browser says so.
        assert not [entry for entry in tab.failed if "fonts.googleapis.com" not in entry]
        chats = below(process)
        assert chats
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        await gone(chats)


async def test_a_killed_server_leaves_no_chat_behind(
    chat: tuple[subprocess.Popen[str], str],
) -> None:
    process, address = chat
    url = address.partition("/?")[0]
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address, as browsers keep them
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(address) as answer:
            assert answer.status == 200
        async with session.ws_connect(f"{url}/ws", headers={"Origin": url}) as socket:
            async with asyncio.timeout(60):
                await socket.receive()  # the chat draws
            chats = below(process)
            assert chats
            process.kill()
            await gone(chats)
