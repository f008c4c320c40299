"""The command `qchat bench`."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from ... import cli_options as options
from ...errors import Exit
from ...help_groups import GroupedCommand
from ...i18n import _
from .options import BenchOptions, OutputFiles


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Parse ``1,8,64``: integers for --concurrency."""
    if value is None:
        return ()
    is_integer = param.name == "concurrency"
    try:
        numbers = tuple(int(item) if is_integer else float(item) for item in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < 100_000 for number in numbers):
        example = "1,8,64" if is_integer else "0.5,10"
        raise click.BadParameter(_("write numbers above 0, such as {n}.").format(n=example))
    return numbers


def _number(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse ``nan``, which is in every range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter(_("write numbers above 0, such as {n}.").format(n="0.5"))
    return value


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Parse ``0.99``, ``99`` or ``99%``."""
    if value is None:
        return None
    number = value.removesuffix("%")
    share = float(number) if number.replace(".", "", 1).isdecimal() else 0.0
    if share > 1 or value.endswith("%"):
        share /= 100
    if not 0 < share <= 1:
        raise click.BadParameter(_("write a share such as 99% or 0.95."))
    return share


@click.command(
    cls=GroupedCommand,
    groups={
        **options.SERVER_GROUP,
        _("Load"): (
            *("concurrency", "rate", "burstiness", "ramp_up_strategy", "ramp_up_start_rps"),
            *("ramp_up_end_rps", "sweep", "search", "search_share", "duration", "requests"),
            *("warm_up", "timeout"),
        ),
        _("Requests"): (
            *("dataset", "dataset_name", "input_len", "output_len", "prefix_len", "num_prefixes"),
            *("turns", "endpoint"),
        ),
        _("Results"): (
            *("goodput", "json_file", "json_format", "csv_file", "report", "plot", "compare"),
        ),
        **options.SAMPLING_GROUP,
    },
    help=_(
        """Measure the latency, the throughput and the errors of an OpenAI-compatible server.

        --concurrency keeps N requests in flight (closed loop). --rate sends X requests per second
        with Poisson arrivals, or more even or bursty ones (open loop), --ramp-up-start-rps and
        --ramp-up-end-rps at a rate that changes; latencies count from the scheduled time of a
        request. --sweep doubles the concurrency until the throughput stops rising; --search finds
        the highest load that keeps the limits of --goodput. The default is --concurrency 1,8,64.

        Ctrl-C ends the benchmark and prints what was measured. Exit code 1: some requests failed,
        or the client was the bottleneck.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat bench
  qchat bench --base-url http://127.0.0.1:8000 --concurrency 8 --duration 60s
  qchat bench --rate 2,5,10 --goodput ttft:200 tpot:50 --plot a.svg
  qchat bench --rate 10 --burstiness inf          (one each 100 ms)
  qchat bench --ramp-up-start-rps 1 --ramp-up-end-rps 20 --duration 2m
  qchat bench --search rate --goodput ttft:300 tpot:40 --report a.html
  qchat bench --sweep --input-len 1000 --output-len 200 --json a.json
  qchat bench --dataset questions.jsonl --concurrency 32 --requests 1000
  qchat bench --dataset ShareGPT_V3_unfiltered_cleaned_split.json --rate 4
  qchat bench --turns 5 --prefix-len 1000 --num-prefixes 4 --concurrency 16
  qchat bench --compare a.json b.json
"""
    ),
)
@options.server_options
@click.option(
    "--concurrency", callback=_numbers, metavar="N,…", help=_("Number of requests in flight.")
)
@click.option(
    "--rate",
    "--request-rate",
    "rate",
    callback=_numbers,
    metavar="X,…",
    help=_("Request rate, per second."),
)
@click.option(
    "--burstiness",
    callback=_number,
    type=click.FloatRange(0.01),
    metavar="X",
    help=_("Of the arrivals: 1 is Poisson, less is burstier, more is more even, inf is constant."),
)
@click.option(
    "--ramp-up-strategy",
    type=click.Choice(["linear", "exponential"]),
    help=_("How the request rate goes from its start to its end (linear)."),
)
@click.option(
    "--ramp-up-start-rps",
    callback=_number,
    type=click.FloatRange(0, 100_000),
    metavar="X",
    help=_("Request rate at the start, per second, instead of --rate."),
)
@click.option(
    "--ramp-up-end-rps",
    callback=_number,
    type=click.FloatRange(0, 100_000, min_open=True),
    metavar="X",
    help=_("Request rate at the end of --duration."),
)
@click.option("--sweep", is_flag=True, help=_("Concurrency 1, 2, 4, … until saturation."))
@click.option(
    "--search",
    type=click.Choice(["rate", "concurrency"]),
    help=_("Find the highest rate or concurrency that keeps the limits of --goodput."),
)
@click.option(
    "--search-share",
    callback=_share,
    metavar="SHARE",
    help=_("The share of requests that must be within the limits (99%)."),
)
@click.option(
    "--duration",
    callback=options.time_span,
    default="30s",
    show_default=True,
    metavar="TIME",
    help=_("How long to measure each load."),
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    metavar="N",
    help=_("Measure N requests per load instead."),
)
@click.option(
    "--warm-up",
    callback=options.time_span,
    default="3s",
    show_default=True,
    metavar="TIME",
    help=_("Warm-up before each load, not measured."),
)
@click.option(
    "--dataset",
    "--dataset-path",
    "dataset",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_(
        "Prompts from a file instead of random ones: JSONL in the formats of qchat batch, or the "
        "recorded conversations of a ShareGPT file."
    ),
)
@click.option(
    "--dataset-name",
    type=click.Choice(["random", "sharegpt", "custom"]),
    help=_("What the prompts are; custom is JSONL (default: by the file's content)."),
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
    help=_(
        "Tokens of every response, EOS ignored (128; with --dataset: not set, with ShareGPT those "
        "of the recorded answer)."
    ),
)
@click.option(
    "--prefix-len",
    type=click.IntRange(1),
    metavar="N",
    help=_("Tokens before those of --input-len that random prompts share."),
)
@click.option(
    "--num-prefixes",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help=_("Share so many different prefixes (1)."),
)
@click.option(
    "--turns",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=_("Ask in conversations of N turns; each request has the answers before it (1)."),
)
@click.option(
    "--endpoint",
    type=click.Choice(["chat", "completions"]),
    default="chat",
    help=_("The API for plain-text prompts."),
)
@click.option(
    "--goodput",
    multiple=True,
    metavar="NAME:MS",
    help=_("Count requests within these limits of ttft, visible_ttft, tpot, latency."),
)
@click.argument("arguments", nargs=-1, metavar="")
@click.option(
    "--timeout",
    callback=options.time_span,
    default="10m",
    show_default=True,
    metavar="TIME",
    help=_("Time limit for each response."),
)
@click.option(
    "--json", "json_file", metavar="FILE", help=_("Write all metrics; - is standard output.")
)
@click.option(
    "--json-format",
    type=click.Choice(["qchat", "vllm", "guidellm"]),
    default="qchat",
    show_default=True,
    help=_(
        "The form of --json; vllm: the keys of vllm bench serve, a line for each load; guidellm: a "
        "report of GuideLLM."
    ),
)
@click.option(
    "--csv", "csv_file", metavar="FILE", help=_("Write a line for each load; - is standard output.")
)
@click.option(
    "--report",
    "--html",
    "report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help=_("Write one page with all figures and their curves."),
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_("Write a plot (.png or .svg)."),
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="A.json B.json",
    help=_("Compare two results of --json; measure nothing."),
)
@options.sampling_options
def bench(
    json_file: str | None,
    json_format: str,
    csv_file: str | None,
    report: Path | None,
    plot: Path | None,
    compare: tuple[Path, Path] | None,
    **values: Any,
) -> int:
    """Measure and print; `values` are the fields of `BenchOptions`. Raises `QchatError`."""
    if compare is not None:
        from ...sanitize import clean
        from .compare import compare as compare_results
        from .compare import read_result

        click.echo(clean(compare_results(*map(read_result, compare))))
        return Exit.OK
    files = OutputFiles(json_file, csv_file, plot, report, json_format)
    return _measure(BenchOptions(**values), files)


def _measure(bench_options: BenchOptions, files: OutputFiles) -> int:
    # Imported here: `qchat bench --help` needs none of it.
    import asyncio

    import uvloop  # a third less processor time per chunk

    from ... import settings
    from ...signals import restored_signals
    from . import output
    from .job import build_job
    from .report import ConsoleProgress
    from .run import run_bench

    job = build_job(bench_options, settings.load())
    output.check_files(files, bench_options.dataset)
    with restored_signals():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(run_bench(job, ConsoleProgress(sys.stderr)))
        output.write_results(files, job, result)
    return result.exit_code
