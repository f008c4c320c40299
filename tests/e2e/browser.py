"""A real Chromium, driven through its DevTools protocol."""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from .. import tools

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=900,600",
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Tab:
    """One page, and what its websocket was sent by the chat."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.received = ""
        self.failed: list[str] = []
        self.hosts: set[str] = set()
        self.urls: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told = await self._read()
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    async def _read(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((await self._socket.receive()).data)
        params = told.get("params", {})
        if told.get("method") == "Network.webSocketFrameReceived":
            frame = params["response"]
            if frame["opcode"] == 2:
                text = base64.b64decode(frame["payloadData"]).decode(errors="replace")
                self.received += _ESCAPES.sub("", text)
        elif told.get("method") == "Network.responseReceived":
            self.hosts.add(params["response"].get("remoteIPAddress", ""))
        elif told.get("method") == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
        elif told.get("method") == "Runtime.exceptionThrown":
            self.failed.append(str(params))
        elif told.get("method") == "Log.entryAdded":
            entry = params["entry"]  # the status of a response is no failure of the page
            if entry["level"] == "error" and entry["source"] != "network":
                self.failed.append(str(entry))
        return told

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return result["result"].get("value")

    async def wait_for(self, expression: str) -> None:
        """Until a JavaScript expression is true in the page."""
        async with asyncio.timeout(60):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.05)

    async def wait(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Until the condition holds for what the page was sent."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    await self._read()
        except TimeoutError:
            raise AssertionError(f"waited in vain: {self.received[-2000:]!r}") from None

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def click(self) -> None:
        """In the middle of the page, on the transcript, as people do before they type."""
        at = {"x": 300, "y": 200, "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)
        await self.wait_for("document.activeElement instanceof HTMLTextAreaElement")

    async def enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **key)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        tools.require("chromium"),
        *_FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(60):
            while not (told := _port(profile)):
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{told}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(
                pages[0]["webSocketDebuggerUrl"], max_msg_size=0
            ) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _port(profile: Path) -> str:
    file = profile / "DevToolsActivePort"
    return file.read_text().partition("\n")[0] if file.exists() else ""
