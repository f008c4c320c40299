"""Select the engines that run the model themselves, and the model: vLLM in this process, Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...api.local_servers import format_servers, running_servers
from ...errors import UsageError
from ...i18n import _, sentence_gap
from ...settings import Settings
from .engine import Engine, Reporter
from .engine_request import EngineRequest
from .engine_selection import EngineSelection

if TYPE_CHECKING:
    from .model_weights import ModelWeights  # with the recipes


def select_offline(
    options: EngineRequest,
    settings: Settings,
    new_log: Callable[[], Path],
    reporter: Reporter,
    cause: str,
) -> EngineSelection:
    """Select vLLM in this process; `cause` says why. Raises `UsageError`, also where there is no
    model."""
    from .local_vllm import local_engine
    from .model_weights import recommended_recipe, weights_on_this_machine
    from .offline import OfflineOptions
    from .private_server import PrivateServerEngine

    model = options.model or settings.model
    if model is None and (model := recommended_recipe(options)) is not None:
        text = _("{cause}; of the recipes {model} fits this machine best")
        cause = text.format(cause=cause.rstrip(".。"), model=model)
    if model is None:
        text = _(
            "No model is named ({cause}): give --model NAME to run a model in "
            "this process, such as --model demo, or --base-url URL to ask a server."
        )
        raise UsageError(text.format(cause=cause.rstrip(".。")) + local_servers_hint(settings))
    weights = weights_on_this_machine(model, options)
    make, problem = local_engine(reporter.warn, in_process=options.in_process)
    reason = _("Asking {model} through vLLM in this process ({cause}).")
    if make is PrivateServerEngine:
        reason = _("Asking {model} through a private vLLM server ({cause}).")
    if problem:
        text = _(
            "{problem} So the model runs in a private server instead of this process: the same "
            "answers, a slower start."
        )
        reporter.warn(text.format(problem=problem))
    _say_of_options(options, weights, reporter)
    log = new_log()
    engine_options = OfflineOptions(
        engine_args={**weights.options, **dict(options.engine_args)},
        tensor_parallel_size=options.tensor_parallel_size,
        log=log,
    )

    def make_engine() -> Engine:
        return make(weights.source, model, options=engine_options)

    return EngineSelection(
        make_engine(),
        "offline",
        model,
        reason.format(model=model, cause=cause.rstrip(".。")),
        make_engine=make_engine,
        log=log if options.in_process else None,
        continues=True,
        compute=weights.compute,
    )


def select_ray(
    options: EngineRequest, settings: Settings, new_log: Callable[[], Path], reporter: Reporter
) -> EngineSelection:
    """Select replicas on a cluster. Raises `UsageError`."""
    from .model_weights import weights_of
    from .ray.engine import RayEngine, RayOptions
    from .ray.session import check_installed

    check_installed()
    model = options.model or settings.model
    if model is None:
        text = _("No model is configured: give --model NAME, such as --model demo.")
        raise UsageError(text)
    weights = weights_of(model)
    _say_of_options(options, weights, reporter)
    engine = RayEngine(
        RayOptions(
            model,
            settings.paths.state,
            options.ray_address,
            options.replicas or (1, 1),
            options.tensor_parallel_size or 1,
            (*weights.options.items(), *options.engine_args),
            weights.source,
        ),
        reporter,
    )
    place = _("on this machine") if options.ray_address is None else options.ray_address
    reason = _("Asking {model} through Ray ({place}).").format(model=model, place=place)
    return EngineSelection(
        engine,
        "ray",
        model,
        reason,
        log=new_log(),
        continues=True,
        start_message=_("Starting the replicas ..."),
    )


def _say_of_options(options: EngineRequest, weights: "ModelWeights", reporter: Reporter) -> None:
    """Say which weights a recipe's name stands for, and which options change nothing."""
    if weights.note:
        reporter.say(weights.note)
    for option in options.for_servers_only:
        text = _("{option} has no effect: no server is asked.").format(option=option)
        if option == "--concurrency":
            text += sentence_gap() + _("vLLM itself decides; --vllm max_num_seqs=N limits it.")
        reporter.warn(text)


def local_servers_hint(settings: Settings) -> str:
    """A sentence that lists the servers running on this machine, or ''."""
    servers = list(running_servers(settings))
    if not servers:
        return ""
    return sentence_gap() + _("Running here: {servers}.").format(servers=format_servers(servers))
