"""Fixtures for the tests of the misbehaving server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests import faults


@pytest.fixture(scope="module")
def shared() -> Iterator[faults.Running]:
    with faults.running() as server:
        yield server


@pytest.fixture
def server(shared: faults.Running) -> faults.Running:
    end = time.monotonic() + 10
    while shared.log.in_flight:  # a client of the test before may have left a moment ago
        assert time.monotonic() < end
        time.sleep(0.01)
    shared.reset_log()
    return shared


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, max_line_size=1 << 20) as session:
        yield session
