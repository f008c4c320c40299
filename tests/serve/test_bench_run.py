"""A run of `qchat bench`: the probe of the server, sweeps and exit codes."""

from typing import Any, cast

import pytest
from qchat.serve.bench.client import CHAT, BenchClient
from qchat.serve.bench.load import Measurement
from qchat.serve.bench.load_shapes import ClosedLoop
from qchat.serve.bench.prompts import RequestTemplate
from qchat.serve.bench.run import load_exit_code, probe_parameters, sweep

from qchat.errors import Exit, UsageError
from qchat.sampling import Sampling

from .bench_servers import RejectingClient

TEMPLATE = RequestTemplate(CHAT, "m", Sampling(temperature=0.5), output_tokens=9)


async def test_parameters_that_a_server_rejects_are_dropped() -> None:
    async def probe(*rejected: str, **more: int) -> tuple[RequestTemplate, list[str]]:
        return await probe_parameters(
            cast(BenchClient, RejectingClient(*rejected, **more)), TEMPLATE
        )

    assert await probe() == (TEMPLATE, [])
    template, notes = await probe("ignore_eos", "stream_options")
    assert template.optional_parameters == () and len(notes) == 2
    template, notes = await probe("ignore_eos", failures=1)
    assert (
        template.optional_parameters == ("stream_options",)
        and "does not support ignore_eos" in notes[0]
    )
    with pytest.raises(UsageError, match="temperature"):
        await probe("temperature")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [([100.0, 190.0, 300.0, 310.0, 999.0], [1, 2, 4, 8]), ([0.0, 999.0], [1])],
)
def test_a_sweep_ends_where_more_requests_bring_no_more_tokens(
    rates: list[float], expected: list[int]
) -> None:
    phases, concurrencies, remaining = list[dict[str, Any]](), [], iter(rates)
    for load in sweep(phases):
        assert isinstance(load, ClosedLoop)
        concurrencies.append(load.concurrency)
        # A busy machine makes a client late for a moment: no reason to end.
        phases.append(
            {"output_tokens_per_second": next(remaining), "valid": len(concurrencies) > 1}
        )
    assert concurrencies == expected


def test_the_exit_code_says_the_worst() -> None:
    fine = {"total_requests": 2, "answered": 2, "failed": 0, "valid": True}
    measurement = Measurement(ClosedLoop(1), 0, 1)
    assert load_exit_code(measurement, fine) is Exit.OK
    assert load_exit_code(measurement, {**fine, "valid": False}) is Exit.ROWS_FAILED
    assert load_exit_code(measurement, {**fine, "answered": 1, "failed": 1}) is Exit.ROWS_FAILED
    assert load_exit_code(measurement, {**fine, "answered": 0, "failed": 2}) is Exit.ENGINE
    measurement.server_lost = True
    assert load_exit_code(measurement, fine) is Exit.ENGINE
