"""Orders say when a fault comes: for which tries, in bursts, at a rate."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests import faults

from .client import ask, post
from .orders import Fault, OrderError, Plan, Style, parse_order, parse_style


async def test_the_first_tries_of_a_prompt_fail(
    http: aiohttp.ClientSession, server: faults.Running
) -> None:
    prompt = "a [[fault:503;times=2]]"
    statuses = [(await post(http, server, prompt))[0] for _ in range(4)]
    assert statuses == [503, 503, 200, 200]
    assert (await post(http, server, "b [[fault:503;times=2]]"))[0] == 503
    log = server.log
    assert log.attempts[prompt] == 4
    assert log.answered == {prompt: 2}
    assert [record.outcome for record in log.records] == [
        *("fault", "fault", "answered", "answered", "fault")
    ]
    url = f"{server.base_url}/chat/completions"
    for expected in (500, 200):
        more = {"X-Fault": "500;times=1"}
        async with http.post(url, json=ask("by header"), headers=more) as reply:
            assert reply.status == expected


async def test_bursts_and_rates(http: aiohttp.ClientSession, server: faults.Running) -> None:
    server.set_plan("503:burst=3,skip=1")
    assert [(await post(http, server, f"{n}"))[0] for n in range(6)] == [
        *(200, 503, 503, 503, 200, 200)
    ]

    async def failed() -> set[int]:
        replies = await asyncio.gather(*(post(http, server, f"q{n}") for n in range(300)))
        return {number for number, (status, _) in enumerate(replies) if status == 503}

    server.set_plan("503", rate=0.2, seed=7)
    server.reset_log()
    first = await failed()
    assert 30 < len(first) < 90
    server.reset_log()
    assert await failed() == first
    server.set_plan("503", rate=0.2, seed=8)
    server.reset_log()
    assert await failed() != first
    server.clear()
    assert await failed() == set()


def test_orders_are_read() -> None:
    order = parse_order("503:burst=20,retry_after=date+1.5")
    assert (order.fault, order.burst, order.retry_after) == (Fault.UNAVAILABLE, 20, "date+1.5")
    assert parse_order("redirect;to=http://127.0.0.1:9/x;status=308").to == "http://127.0.0.1:9/x"
    assert parse_order("reset", rate=0.5).rate == 0.5
    assert parse_style("latency=1;dress=markup").latency == 1
    assert parse_style("rate=5", Style(latency=2)) == Style(latency=2, rate=5)
    assert Plan.parse([]).choose("key", 1) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no fault is called ''"),
        ("rest", "no fault is called 'rest'; there are: reset,"),
        ("503:after=1", "503 has no option 'after'"),
        ("503:burst", "is not name=value"),
        ("503:burst=x", "burst of 503 can't be 'x'"),
        ("hang:seconds=-1", "can't be negative"),
        ("hang:seconds=nan", "can't be negative or infinite"),
        ("reset:rate=2", "not between 0 and 1"),
        ("200_garbage:kind=odd", "has no kind 'odd'"),
        ("503:retry_after=a\nb", "can't stand in a header"),
        ("503:retry_after=date+x", "can't be 'x'"),
    ],
)
def test_orders_that_can_t_be_read(text: str, message: str) -> None:
    with pytest.raises(OrderError) as caught:
        parse_order(text)
    assert message in str(caught.value)
