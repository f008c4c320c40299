"""The figures of a bench as a picture."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject

KINDS = (".png", ".svg")


def check(path: Path) -> None:
    """Raises `UsageError` where a picture can't be drawn there, before anything is measured."""
    import importlib.util

    if path.suffix.lower() not in KINDS:
        raise UsageError(_("--plot: {file} must end in .png or .svg.").format(file=path))
    if importlib.util.find_spec("matplotlib") is None:
        from ...installation import install_hint

        raise UsageError(_("--plot needs matplotlib: {hint}").format(hint=install_hint("bench")))


def draw(path: Path, title: str, phases: Sequence[JsonObject]) -> None:
    """Throughput, and three latencies by load. Raises `OSError`."""
    from matplotlib.figure import Figure

    names = [phase["name"] for phase in phases]
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(2, 2)
    tokens = axes[0][0]
    tokens.set_title(_("output tokens/s"))
    tokens.bar(names, [phase["output_tokens_per_second"] for phase in phases], color="#3a7d44")
    latencies = {
        "ttft": _("time to first token, ms"),
        "tpot": _("time per output token, ms"),
        "latency": _("latency, end to end, ms"),
    }
    for axis, (name, about) in zip(axes.flat[1:], latencies.items(), strict=True):
        axis.set_title(about)
        for stat in ("p50", "p90", "p99"):
            values = [phase[f"{name}_ms"].get(stat) for phase in phases]
            axis.plot(names, [float("nan") if v is None else v for v in values], "o-", label=stat)
        axis.set_ylim(bottom=0)
        axis.legend()
    for axis in axes.flat:
        axis.grid(axis="y", alpha=0.3)
        axis.tick_params(axis="x", rotation=30 if len(names) > 4 else 0)
    figure.savefig(path, dpi=120)
