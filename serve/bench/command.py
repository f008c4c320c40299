"""The command `qchat bench`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ... import cli_options as options
from ...errors import Exit, UsageError
from ...i18n import _
from ...sampling import Sampling

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint
    from ...settings import Settings
    from .figures import Limits
    from .load import Load
    from .run import BenchJob

_INPUT, _OUTPUT = 256, 128  # tokens of a random prompt and its answer, unless told
_DRAIN = 30.0  # seconds, or as long as was measured, for what is in flight at the end
_LATENCY_NAMES = {"e2e": "latency", "e2el": "latency"}  # as vLLM's own bench calls it, too


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Of ``1,8,64``; whole ones for --concurrency."""
    if value is None:
        return ()
    whole = param.name == "concurrency"
    try:
        numbers = tuple(int(word) if whole else float(word) for word in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < 100_000 for number in numbers):
        example = "1,8,64" if whole else "0.5,10"
        raise click.BadParameter(_("write numbers above 0, such as {n}.").format(n=example))
    return numbers


@click.command(
    help=_(
        """Measure an OpenAI-compatible server: latencies, throughput, errors.

        --concurrency keeps so many requests in flight; --rate sends so many a second at random
        moments, and a request's time counts from the moment it was due; --sweep doubles the
        requests in flight until that brings no more tokens. Without these: 1, 8 and 64 at a time.

        Ctrl-C ends it and prints what was measured. Exit code 1: some requests failed, or the
        client itself was the limit.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat bench
  qchat bench --base-url http://127.0.0.1:8000 --concurrency 1,8,64 --duration 30s
  qchat bench --rate 2,5,10 --goodput ttft:200 tpot:50
  qchat bench --sweep --input-len 1000 --output-len 200 --json a.json --plot a.svg
  qchat bench --dataset questions.jsonl --concurrency 32 --requests 1000
  qchat bench --compare a.json b.json
"""
    ),
)
@options.server_options
@click.option("--concurrency", callback=_numbers, metavar="N,…", help=_("Requests in flight."))
@click.option("--rate", callback=_numbers, metavar="X,…", help=_("Requests a second."))
@click.option("--sweep", is_flag=True, help=_("1, 2, 4, … in flight, while that brings more."))
@click.option(
    "--duration",
    callback=options.time_span,
    default="30s",
    show_default=True,
    metavar="TIME",
    help=_("How long to measure each load."),
)
@click.option(
    "--requests", type=click.IntRange(1), metavar="N", help=_("Measure N requests instead.")
)
@click.option(
    "--warm-up",
    callback=options.time_span,
    default="3s",
    show_default=True,
    metavar="TIME",
    help=_("Under load before each, not counted."),
)
@click.option(
    "--dataset",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_("Ask the lines of a JSONL file, as qchat batch reads them, not random texts."),
)
@click.option(
    "--input-len",
    type=click.IntRange(1),
    metavar="N",
    help=_("Tokens of a random prompt (256)."),
)
@click.option(
    "--output-len",
    type=click.IntRange(1),
    metavar="N",
    help=_("Tokens of every answer, its end ignored (128; with --dataset: as it comes)."),
)
@click.option(
    "--endpoint",
    type=click.Choice(["chat", "completions"]),
    default="chat",
    help=_("What is asked with texts."),
)
@click.option(
    "--goodput",
    multiple=True,
    metavar="NAME:MS",
    help=_("Count requests that keep these limits, of ttft, tpot, latency."),
)
@click.argument("limits", nargs=-1, metavar="")
@click.option(
    "--timeout",
    callback=options.time_span,
    default="10m",
    show_default=True,
    metavar="TIME",
    help=_("The longest that an answer may take."),
)
@click.option("--json", "json_file", metavar="FILE", help=_("All figures; - is standard output."))
@click.option("--csv", "csv_file", metavar="FILE", help=_("A line for each load; - likewise."))
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help=_("A .png or .svg."))
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="A.json B.json",
    help=_("Measure nothing: compare two results of --json."),
)
@options.sampling_options
def bench(compare: tuple[Path, Path] | None, **said: Any) -> int:
    """Measure and print. Raises `QchatError`."""
    if compare is not None:
        from ...sanitize import clean
        from . import compare as bench_compare

        click.echo(clean(bench_compare.compare(*map(bench_compare.read, compare))))
        return Exit.OK
    return _measure(said)


def _measure(said: dict[str, Any]) -> int:
    from ... import settings as settings_

    job = _job(said, settings_.load())

    # Imported here, not above: `qchat bench --help` needs none of it.
    import asyncio

    import uvloop  # a third less processor time a chunk

    from ...signals import restored_signals
    from . import output as bench_output
    from .report import Live
    from .run import run_bench as run

    bench_output.check(said)
    with restored_signals():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(run(job, Live(sys.stderr)))
        bench_output.write(said, job, result)
    return result.ended


def _job(said: dict[str, Any], settings: "Settings") -> "BenchJob":
    import random

    from .client import CHAT, COMPLETIONS
    from .load import LoadSettings
    from .prompts import dataset
    from .run import BenchJob

    sampling: Sampling = said["sampling"]
    if said["dataset"] is not None and said["input_len"] is not None:
        raise UsageError(_("--input-len is for random texts; with --dataset leave it out."))
    if said["output_len"] is not None and sampling.max_tokens is not None:
        raise UsageError(_("Give --output-len or --max-tokens, not both."))
    if said["duration"] <= 0 or said["timeout"] <= 0:
        raise UsageError(_("--duration and --timeout must be above 0."))
    output_len = said["output_len"]
    if output_len is None and said["dataset"] is None and sampling.max_tokens is None:
        output_len = _OUTPUT
    path = CHAT if said["endpoint"] == "chat" else COMPLETIONS
    rows = [] if said["dataset"] is None else dataset(said["dataset"], path)
    if said["limits"] and not said["goodput"]:
        raise _unexpected(said["limits"][0])
    limits = _limits((*said["goodput"], *said["limits"]))
    loads = _loads(said)
    endpoint = _endpoint(said, settings)
    seed = sampling.seed
    if seed is None:  # other texts each time: the server may remember the last ones
        seed = random.SystemRandom().randrange(2**31)
    return BenchJob(
        endpoint=endpoint,
        model=said["model"] or endpoint.model,
        path=path,
        loads=loads,
        terms=LoadSettings(
            duration=said["duration"],
            warm_up=said["warm_up"],
            requests=said["requests"],
            drain=max(_DRAIN, said["duration"]),
            seed=seed,
        ),
        sampling=sampling,
        rows=rows,
        input_len=said["input_len"] or _INPUT,
        output_len=output_len,
        limits=limits,
        timeout=said["timeout"],
    )


def _endpoint(said: dict[str, Any], settings: "Settings") -> "Endpoint":
    from ...api import endpoint as wire

    names = {name: said[name] for name in ("server", "base_url", "api_key_env")}
    endpoint = wire.resolve(settings, **names)
    if endpoint is None:
        from ...api.local_servers import local_server

        endpoint = local_server(settings)
    return endpoint


def _loads(said: dict[str, Any]) -> "tuple[Load, ...]":
    from .load import ClosedLoop, OpenLoop

    given = [name for name in ("concurrency", "rate", "sweep") if said[name]]
    if len(given) > 1:
        text = _("Give --{one} or --{other}, not both.")
        raise UsageError(text.format(one=given[0], other=given[1]))
    if said["sweep"]:
        return ()
    if said["rate"]:
        return tuple(map(OpenLoop, said["rate"]))
    return tuple(map(ClosedLoop, said["concurrency"] or (1, 8, 64)))


def _limits(words: tuple[str, ...]) -> "Limits | None":
    from .figures import Limits

    most: dict[str, float] = {}
    for word in ",".join(words).split(",") if words else ():
        name, colon, ms = word.partition(":")
        name = _LATENCY_NAMES.get(name, name)
        if ms.startswith("//"):
            raise _unexpected(word)
        if not colon:
            text = _(
                "--goodput: {word!r} has not the form NAME:MS, such as ttft:200 or tpot:50; the "
                "names are ttft, tpot, latency."
            )
            raise UsageError(text.format(word=word))
        if name not in ("ttft", "tpot", "latency"):
            text = _("--goodput: {name!r} is none of ttft, tpot, latency.")
            raise UsageError(text.format(name=name))
        if not ms.replace(".", "", 1).isdecimal():
            text = _("--goodput: write milliseconds after the colon, such as {name}:200.")
            raise UsageError(text.format(name=name))
        most[name] = float(ms)
    return Limits(most) if most else None


def _unexpected(word: str) -> UsageError:
    return UsageError(_("{word!r} is not expected here; see --help.").format(word=word))
