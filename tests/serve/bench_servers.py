"""Servers for the tests of `qchat bench`: the events of a stream, and stand-ins for its client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from qchat.serve.bench.client import BenchRequest, RequestRecord, clock

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, Failure, UsageError


def event(**chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def delta(finish: str | None = None, **values: str) -> bytes:
    return event(choices=[{"delta": values, "finish_reason": finish}])


@asynccontextmanager
async def raw_server(response: bytes) -> AsyncIterator[Endpoint]:
    """A server that answers a request with these bytes, headers included, and disconnects."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Endpoint(f"http://127.0.0.1:{port}/v1")


class SlowServer:
    """Handles one request at a time, each in `seconds`; it is what `measure` sends with."""

    def __init__(self, seconds: float, failure: Failure | None = None) -> None:
        self.seconds = seconds
        self.failure = failure
        self.in_flight = self.max_in_flight = 0
        self._turn = asyncio.Lock()

    async def __call__(self, _request: BenchRequest, scheduled_at: float) -> RequestRecord:
        record = RequestRecord(scheduled_at, clock(), failure=self.failure)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            async with self._turn:
                await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        record.first_token_at = record.last_token_at = clock()
        record.completion_tokens = 1
        return record


class TokenizeClient:
    """A `BenchClient` for /tokenize: five tokens of template, then one for three characters."""

    endpoint = Endpoint("http://127.0.0.1:9/v1")

    async def json(self, method: str, url: str, body: Any) -> Any:
        assert (method, url) == ("POST", "http://127.0.0.1:9/tokenize")
        words = body["messages"][0]["content"].split(" ")
        return {"count": 5 + sum((len(word) + 2) // 3 for word in words)}


class RejectingClient:
    """A `BenchClient` of a server that rejects these parameters, after `failures` of status 500."""

    def __init__(self, *rejected: str, failures: int = 0) -> None:
        self.rejected, self.failures = rejected, failures

    async def send(self, request: BenchRequest, scheduled_at: float) -> RequestRecord:
        failure = None
        if self.failures:
            self.failures -= 1
            failure = Failure(Code.SERVER_ERROR, "hiccup", 500)
        for name in self.rejected:
            if name.encode() in request.body:
                failure = Failure(Code.INVALID_REQUEST, f"Unknown parameter: {name}", 400)
        return RequestRecord(scheduled_at, failure=failure)

    def to_exception(self, failure: Failure) -> Exception:
        return UsageError(failure.message)
