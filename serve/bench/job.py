"""From the options of the command line to a `BenchJob`."""

import random

from ...api import endpoint as endpoints
from ...api.local_servers import local_server, with_own_key
from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from .client import CHAT, COMPLETIONS
from .dataset_rows import read_rows
from .load import LoadSettings
from .load_shapes import ClosedLoop, Load, OpenLoop, Ramp
from .metrics import GoodputLimits
from .options import BenchOptions
from .prompt_plans import PromptPlan, RandomPlan, RecordedPlan, RowsPlan
from .prompts import PrefixShape
from .run import BenchJob
from .search import SHARE, GoodputSearch
from .sharegpt import is_sharegpt, read_sharegpt

DEFAULT_INPUT_LEN, DEFAULT_OUTPUT_LEN = 256, 128
DEFAULT_CONCURRENCIES = (1, 8, 64)

_MIN_DRAIN = 30.0  # seconds for the requests in flight at the end; more if more was measured
_ALIASES = {"e2e": "latency", "e2el": "latency"}  # `vllm bench serve` calls it so


def build_job(options: BenchOptions, settings: Settings) -> BenchJob:
    """Check the options, read the dataset and resolve the server. Raises `QchatError`."""
    sampling = options.sampling
    plan = _prompt_plan(options)
    if options.output_len is not None and sampling.max_tokens is not None:
        raise UsageError(_("Give --output-len or --max-tokens, not both."))
    if options.duration <= 0 or options.timeout <= 0:
        raise UsageError(_("--duration and --timeout must be above 0."))
    output_len = options.output_len
    if output_len is None and options.dataset is None and sampling.max_tokens is None:
        output_len = DEFAULT_OUTPUT_LEN
    path = CHAT if options.endpoint == "chat" else COMPLETIONS
    if options.arguments and not options.goodput:
        raise _unexpected(options.arguments[0])
    goodput_limits = _parse_goodput((*options.goodput, *options.arguments))
    search = _search(options) if options.search is not None else None
    if options.search_share is not None and search is None:
        raise UsageError(_("--search-share is for --search."))
    if search is not None and goodput_limits is None:
        text = _("--search needs the limits to keep: --goodput ttft:200 tpot:50.")
        raise UsageError(text)
    loads = () if search is not None else _loads(options)
    endpoint = endpoints.resolve(
        settings,
        server=options.server,
        base_url=options.base_url,
        api_key_env=options.api_key_env,
    )
    endpoint = local_server(settings) if endpoint is None else with_own_key(settings, endpoint)
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
        plan=plan,
        output_len=output_len,
        goodput_limits=goodput_limits,
        timeout=options.timeout,
        search=search,
    )


def _prompt_plan(options: BenchOptions) -> PromptPlan:
    """What to ask; a dataset is read. Raises `UsageError`."""
    dataset, name = options.dataset, options.dataset_name
    turns = options.turns or 1
    if turns > 1 and options.endpoint != "chat":
        raise UsageError(_("--turns needs --endpoint chat: completions have no conversations."))
    if dataset is None:
        if name not in (None, "random"):
            text = _("--dataset-name {name} needs the file: --dataset FILE.")
            raise UsageError(text.format(name=name))
        if options.num_prefixes is not None and options.prefix_len is None:
            raise UsageError(_("--num-prefixes needs --prefix-len, the tokens of each prefix."))
        prefix = PrefixShape(options.prefix_len or 0, options.num_prefixes or 1)
        return RandomPlan(options.input_len or DEFAULT_INPUT_LEN, prefix, turns)
    if options.input_len is not None:
        raise UsageError(_("--input-len is for random texts; with --dataset leave it out."))
    if options.prefix_len is not None or options.num_prefixes is not None:
        raise UsageError(_("--prefix-len is for random texts; with --dataset leave it out."))
    if name == "random":
        raise UsageError(_("--dataset-name random takes no --dataset."))
    try:
        recorded = name == "sharegpt" or (name is None and is_sharegpt(dataset))
    except OSError as e:
        text = _("Can't read {file}: {why}.")
        raise UsageError(text.format(file=dataset, why=_(e.strerror))) from e
    if recorded:
        return RecordedPlan(str(dataset), read_sharegpt(dataset), turns)
    if turns > 1:
        raise UsageError(_("--turns is for random texts and ShareGPT files; rows have no turns."))
    path = CHAT if options.endpoint == "chat" else COMPLETIONS
    return RowsPlan(str(dataset), read_rows(dataset, path))


def _search(options: BenchOptions) -> GoodputSearch:
    """The search; it starts at the --rate or --concurrency. Raises `UsageError`."""
    assert options.search is not None
    others = {
        "sweep": options.sweep,
        "ramp-up-start-rps": _has_ramp(options),
        "rate": options.rate and options.search != "rate",
        "concurrency": options.concurrency and options.search != "concurrency",
    }
    for name, value in others.items():
        if value:
            text = _("Give --{one} or --{other}, not both.")
            raise UsageError(text.format(one=f"search {options.search}", other=name))
    if options.burstiness is not None and options.search != "rate":
        raise UsageError(_("--burstiness is for --rate and for ramps; give one of them."))
    starts = options.rate or options.concurrency or (1.0,)
    if len(starts) > 1:
        text = _("--search {kind} starts at one value of --{kind}; {n} are given.")
        raise UsageError(text.format(kind=options.search, n=len(starts)))
    return GoodputSearch(
        options.search,
        float(starts[0]),
        1.0 if options.burstiness is None else options.burstiness,
        SHARE if options.search_share is None else options.search_share,
    )


def _has_ramp(options: BenchOptions) -> bool:
    return options.ramp_up_start_rps is not None or options.ramp_up_end_rps is not None


def _loads(options: BenchOptions) -> tuple[Load, ...]:
    """The loads; none for a sweep."""
    has_ramp = _has_ramp(options)
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
