"""The load generator of `qchat bench`: when requests are scheduled, and how a measurement ends."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from qchat.serve.bench.client import CHAT, BenchRequest, RequestRecord, clock
from qchat.serve.bench.load import LoadSettings, Measurement, measure
from qchat.serve.bench.load_shapes import CONSTANT, ClosedLoop, Load, OpenLoop, Ramp
from qchat.serve.bench.metrics import compute_metrics

from qchat.errors import Code, Failure

from .bench_servers import SlowServer


def endless() -> Iterator[BenchRequest]:
    return itertools.repeat(BenchRequest(CHAT, b"{}"))


async def run(server: SlowServer, load: Load, settings: LoadSettings) -> Measurement:
    return await measure(server, endless(), load, settings, asyncio.Event())


async def test_an_open_loop_does_not_wait_for_a_slow_server() -> None:
    """Coordinated omission: requests that were due while the server was busy count as waiting."""
    server = SlowServer(0.02)
    measurement = await run(server, OpenLoop(500), LoadSettings(60, 0, max_requests=20, seed=3))
    assert server.max_in_flight > 1
    records = sorted(measurement.in_window, key=lambda record: record.scheduled_at)
    assert len(records) == 20
    for number, record in enumerate(
        sorted(records, key=lambda record: record.last_token_at), start=1
    ):
        # The n-th answer can't come before n answers' time has passed.
        assert record.last_token_at - measurement.start >= 0.0199 * number
    last = records[-1]
    assert last.last_token_at - last.scheduled_at >= 0.0199 * 20 - (
        last.scheduled_at - measurement.start
    )


async def test_what_waits_in_the_client_counts_as_client_queue() -> None:
    server = SlowServer(0.02)
    measurement = await run(
        server, OpenLoop(500), LoadSettings(60, 0, max_requests=10, max_in_flight=1)
    )
    assert server.max_in_flight == 1
    queue_times = [record.sent_at - record.scheduled_at for record in measurement.in_window]
    assert sum(queue_times) >= sum(0.0199 * n for n in range(10)) - sum(
        record.scheduled_at - measurement.start for record in measurement.in_window
    )


async def test_arrivals_are_poisson_and_the_same_for_a_seed() -> None:
    async def gaps(seed: int) -> list[float]:
        measurement = await run(
            SlowServer(0), OpenLoop(20_000), LoadSettings(60, 0, max_requests=2000, seed=seed)
        )
        times = sorted(record.scheduled_at for record in measurement.records)
        return [b - a for a, b in itertools.pairwise(times)]

    one, again, other = await gaps(1), await gaps(1), await gaps(2)
    assert one == pytest.approx(again, abs=1e-9)
    assert one[:5] != pytest.approx(other[:5], abs=1e-9)
    mean = sum(one) / len(one)
    assert mean == pytest.approx(1 / 20_000, rel=0.15)
    # For an exponential distribution the deviation equals the mean.
    assert (sum((gap - mean) ** 2 for gap in one) / len(one)) ** 0.5 == pytest.approx(mean, rel=0.2)


@pytest.mark.parametrize("max_requests", [None, 20])
async def test_a_ramp_grows_within_the_window(max_requests: int | None) -> None:
    ramp = Ramp(20, 180, burstiness=CONSTANT)
    settings = LoadSettings(0.2, 0.1, max_requests=max_requests)
    measurement = await run(SlowServer(0), ramp, settings)
    times = [record.scheduled_at - measurement.start for record in measurement.in_window]
    assert len(times) == pytest.approx(20, abs=1)  # a mean of 100 a second
    assert times[-1] == pytest.approx(0.2, abs=0.02)
    assert sum(time < 0.1 for time in times) < 8  # where a constant rate has 10


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    server = SlowServer(0.001)
    measurement = await run(server, ClosedLoop(5), LoadSettings(60, 0, max_requests=40))
    assert (server.max_in_flight, len(list(measurement.in_window)), measurement.cancelled) == (
        5,
        40,
        0,
    )


async def test_a_warm_up_is_under_load_and_not_counted() -> None:
    measurement = await run(SlowServer(0.005), ClosedLoop(1), LoadSettings(0.2, 0.1))
    warm = [record for record in measurement.records if record.scheduled_at < measurement.start]
    assert warm and len(list(measurement.in_window)) == len(measurement.records) - len(warm)
    assert measurement.end - measurement.start == pytest.approx(0.2)
    assert (
        measurement.cpu >= 0
        and 0 <= measurement.cpu_window < 0.2
        and all(lag >= 0 for lag in measurement.loop_lags)
    )
    after_warm_up = await run(
        SlowServer(0.001), ClosedLoop(1), LoadSettings(60, 0.05, max_requests=3)
    )
    assert len(after_warm_up.records) == 3


async def test_what_is_not_answered_long_after_the_end_is_a_failure() -> None:
    measurement = await run(SlowServer(30), OpenLoop(100), LoadSettings(0.1, 0, drain=0.05, seed=1))
    records = list(measurement.in_window)
    assert records and all(record.failure is not None for record in records)
    assert {record.failure.code for record in records if record.failure} == {Code.NO_PROGRESS}


async def stopped_after(
    server: SlowServer, requests: int, settings: LoadSettings
) -> tuple[Measurement, float]:
    """A measurement of two requests at a time that is stopped after so many, and when it was."""
    stop, sent = asyncio.Event(), asyncio.Event()
    remaining = iter(range(requests))

    async def send(request: BenchRequest, scheduled_at: float) -> RequestRecord:
        if next(remaining, None) is None:
            sent.set()
        return await server(request, scheduled_at)

    work = asyncio.create_task(measure(send, endless(), ClosedLoop(2), settings, stop))
    await sent.wait()
    stop.set()
    stopped_at = clock()
    return await work, stopped_at


@pytest.mark.parametrize("max_requests", [None, 5000])
async def test_an_early_stop_ends_the_window_at_that_moment(max_requests: int | None) -> None:
    settings = LoadSettings(60, 0, max_requests=max_requests)
    measurement, stopped_at = await stopped_after(SlowServer(0.002), 20, settings)
    assert measurement.stopped
    assert stopped_at <= measurement.end <= clock()
    assert all(record.last_token_at < measurement.end for record in measurement.records)
    phase = compute_metrics(measurement)
    assert phase["answered"] >= 19
    assert phase["seconds"] == measurement.end - measurement.start
    assert phase["qps"] == pytest.approx(phase["answered"] / phase["seconds"])
    assert phase["sent_per_second"] == pytest.approx(phase["answered"] / phase["seconds"])


@pytest.mark.parametrize("max_requests", [None, 5000])
async def test_a_stop_within_the_warm_up_measures_nothing(max_requests: int | None) -> None:
    settings = LoadSettings(60, 60, max_requests=max_requests)
    measurement, _stopped_at = await stopped_after(SlowServer(0.002), 6, settings)
    phase = compute_metrics(measurement)
    assert measurement.stopped and len(measurement.records) >= 5
    assert (phase["seconds"], phase["total_requests"], phase["qps"]) == (0, 0, 0)
    assert phase["output_tokens_per_second"] == 0 and phase["slices"] == []


async def test_stopping_aborts_what_is_in_flight() -> None:
    stop, server = asyncio.Event(), SlowServer(30)
    work = asyncio.create_task(measure(server, endless(), ClosedLoop(3), LoadSettings(60, 0), stop))
    while server.in_flight < 3:
        await asyncio.sleep(0)
    stop.set()
    measurement = await work
    assert measurement.stopped and (measurement.cancelled, measurement.records) == (3, [])
    assert measurement.end - measurement.start < 59


async def test_a_worker_waits_longer_after_each_failure_in_a_row() -> None:
    busy = SlowServer(0, Failure(Code.OVERLOADED, "busy", 503))
    measurement = await run(busy, ClosedLoop(1), LoadSettings(60, 0, max_requests=4))
    sent = [record.sent_at for record in measurement.records]
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert len(gaps) == 3
    assert all(gap >= least for gap, least in zip(gaps, (0.049, 0.099, 0.199), strict=True))


async def test_a_server_that_is_gone_ends_it() -> None:
    gone = SlowServer(0, Failure(Code.UNREACHABLE, "nobody there"))
    measurement = await run(gone, ClosedLoop(8), LoadSettings(60, 0))
    assert measurement.server_lost and len(measurement.records) >= 26
    first, second, *_rest = sorted(record.last_token_at for record in measurement.records)
    assert first <= measurement.end <= second  # what came after is no part of the measurement
