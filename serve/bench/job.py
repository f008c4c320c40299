"""From the options of the command line to a `BenchJob`."""

import random

from ...api import endpoint as endpoints
from ...api.local_servers import local_server
from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from .client import CHAT, COMPLETIONS
from .load import LoadSettings
from .load_shapes import ClosedLoop, Load, OpenLoop, Ramp
from .metrics import GoodputLimits
from .options import BenchOptions
from .prompts import read_dataset
from .run import BenchJob

DEFAULT_INPUT_LEN, DEFAULT_OUTPUT_LEN = 256, 128
DEFAULT_CONCURRENCIES = (1, 8, 64)

_MIN_DRAIN = 30.0  # seconds for the requests in flight at the end; more if more was measured
_ALIASES = {"e2e": "latency", "e2el": "latency"}  # `vllm bench serve` calls it so


def build_job(options: BenchOptions, settings: Settings) -> BenchJob:
    """Check the options, read the dataset and resolve the server. Raises `QchatError`."""
    sampling = options.sampling
    if options.dataset is not None and options.input_len is not None:
        raise UsageError(_("--input-len is for random texts; with --dataset leave it out."))
    if options.output_len is not None and sampling.max_tokens is not None:
        raise UsageError(_("Give --output-len or --max-tokens, not both."))
    if options.duration <= 0 or options.timeout <= 0:
        raise UsageError(_("--duration and --timeout must be above 0."))
    output_len = options.output_len
    if output_len is None and options.dataset is None and sampling.max_tokens is None:
        output_len = DEFAULT_OUTPUT_LEN
    path = CHAT if options.endpoint == "chat" else COMPLETIONS
    rows = [] if options.dataset is None else read_dataset(options.dataset, path)
    if options.arguments and not options.goodput:
        raise _unexpected(options.arguments[0])
    goodput_limits = _parse_goodput((*options.goodput, *options.arguments))
    loads = _loads(options)
    endpoint = endpoints.resolve(
        settings,
        server=options.server,
        base_url=options.base_url,
        api_key_env=options.api_key_env,
    )
    if endpoint is None:
        endpoint = local_server(settings)
    seed = sampling.seed
    if seed is None:  # other texts each time: the server's prefix cache may hold the last ones
        seed = random.SystemRandom().randrange(2**31)
    return BenchJob(
        endpoint=endpoint,
        model=options.model or endpoint.model,
        path=path,
        loads=loads,
        load_settings=LoadSettings(
            duration=options.duration,
            warm_up=options.warm_up,
            max_requests=options.requests,
            drain=max(_MIN_DRAIN, options.duration),
            seed=seed,
        ),
        sampling=sampling,
        rows=rows,
        input_len=options.input_len or DEFAULT_INPUT_LEN,
        output_len=output_len,
        goodput_limits=goodput_limits,
        timeout=options.timeout,
    )


def _loads(options: BenchOptions) -> tuple[Load, ...]:
    """The loads; none for a sweep."""
    has_ramp = options.ramp_up_start_rps is not None or options.ramp_up_end_rps is not None
    kinds = {
        "concurrency": options.concurrency,
        "rate": options.rate,
        "ramp-up-start-rps": has_ramp,
        "sweep": options.sweep,
    }
    selected = [name for name, value in kinds.items() if value]
    if len(selected) > 1:
        text = _("Give --{one} or --{other}, not both.")
        raise UsageError(text.format(one=selected[0], other=selected[1]))
    if options.burstiness is not None and not (options.rate or has_ramp):
        raise UsageError(_("--burstiness is for --rate and for ramps; give one of them."))
    if options.ramp_up_strategy is not None and not has_ramp:
        raise UsageError(_("A ramp needs --ramp-up-start-rps and --ramp-up-end-rps."))
    burstiness = 1.0 if options.burstiness is None else options.burstiness
    if options.sweep:
        return ()
    if has_ramp:
        return (_ramp(options, burstiness),)
    if options.rate:
        return tuple(OpenLoop(rate, burstiness) for rate in options.rate)
    return tuple(map(ClosedLoop, options.concurrency or DEFAULT_CONCURRENCIES))


def _ramp(options: BenchOptions, burstiness: float) -> Ramp:
    start, end = options.ramp_up_start_rps, options.ramp_up_end_rps
    if start is None or end is None:
        raise UsageError(_("A ramp needs --ramp-up-start-rps and --ramp-up-end-rps."))
    strategy = options.ramp_up_strategy or "linear"
    if strategy == "exponential" and start <= 0:
        raise UsageError(_("An exponential ramp can't start at 0; give --ramp-up-start-rps 0.1."))
    return Ramp(start, end, strategy, burstiness)


def _parse_goodput(items: tuple[str, ...]) -> GoodputLimits | None:
    max_ms: dict[str, float] = {}
    for item in ",".join(items).split(",") if items else ():
        name, colon, ms = item.partition(":")
        name = _ALIASES.get(name, name)
        if ms.startswith("//"):
            raise _unexpected(item)
        if not colon:
            text = _(
                "--goodput: {item!r} does not have the form NAME:MS, such as ttft:200 or tpot:50; "
                "the names are ttft, visible_ttft, tpot, latency."
            )
            raise UsageError(text.format(item=item))
        if name not in ("ttft", "visible_ttft", "tpot", "latency"):
            text = _("--goodput: {name!r} is none of ttft, visible_ttft, tpot, latency.")
            raise UsageError(text.format(name=name))
        if not ms.replace(".", "", 1).isdecimal():
            text = _("--goodput: write milliseconds after the colon, such as {name}:200.")
            raise UsageError(text.format(name=name))
        max_ms[name] = float(ms)
    return GoodputLimits(max_ms) if max_ms else None


def _unexpected(argument: str) -> UsageError:
    text = _("{argument!r} is not expected here; see --help.")
    return UsageError(text.format(argument=argument))
