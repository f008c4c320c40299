"""The metrics of a benchmark as a plot."""

from collections.abc import Container, Sequence
from pathlib import Path

from ...errors import UsageError
from ...i18n import ENGLISH, N_, _, language
from ...json_types import JsonObject
from .load_shapes import shown_name

KINDS = (".png", ".svg")
CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei"),
    *("Noto Sans CJK JP", "Arial Unicode MS"),
)
TITLES = {
    "tokens": N_("output tokens/s"),
    "ttft": N_("time to first token, ms"),
    "tpot": N_("time per output token, ms"),
    "latency": N_("end-to-end latency, ms"),
}


def check_path(path: Path) -> None:
    """Check that a plot can be written to `path`, before the measurement. Raises `UsageError`."""
    import importlib.util

    if path.suffix.lower() not in KINDS:
        raise UsageError(_("--plot: {file} must end in .png or .svg.").format(file=path))
    if importlib.util.find_spec("matplotlib") is None:
        from ...installation import install_hint

        raise UsageError(_("--plot needs matplotlib: {hint}").format(hint=install_hint("bench")))


def find_font(names: Container[str]) -> str | None:
    """Return a font with Chinese characters, out of those that are installed."""
    return next((name for name in CHINESE_FONTS if name in names), None)


def draw(path: Path, title: str, phases: Sequence[JsonObject]) -> None:
    """Plot the throughput and three latencies by load. Raises `OSError`.

    The labels are in the language of the process, but where no installed font has its characters
    they are in English: boxes tell nothing.
    """
    import matplotlib as mpl

    font = None
    if language() != ENGLISH:
        from matplotlib.font_manager import fontManager

        font = find_font({entry.name for entry in fontManager.ttflist})
    with mpl.rc_context({"font.family": [*([font] if font else []), "DejaVu Sans"]}):
        _draw(path, title, phases, translated=font is not None or language() == ENGLISH)


def _draw(path: Path, title: str, phases: Sequence[JsonObject], *, translated: bool) -> None:
    from matplotlib.figure import Figure

    def label(text: str) -> str:
        return _(text) if translated else text

    names = [shown_name(phase) if translated else _plain_name(phase["load"]) for phase in phases]
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(2, 2)
    tokens = axes[0][0]
    tokens.set_title(label(TITLES["tokens"]))
    tokens.bar(names, [phase["output_tokens_per_second"] for phase in phases], color="#3a7d44")
    for axis, name in zip(axes.flat[1:], ("ttft", "tpot", "latency"), strict=True):
        axis.set_title(label(TITLES[name]))
        for stat in ("p50", "p90", "p99"):
            values = [phase[f"{name}_ms"].get(stat) for phase in phases]
            axis.plot(names, [float("nan") if v is None else v for v in values], "o-", label=stat)
        axis.set_ylim(bottom=0)
        axis.legend()
    for axis in axes.flat:
        axis.grid(axis="y", alpha=0.3)
        axis.tick_params(axis="x", rotation=30 if len(names) > 4 else 0)
    figure.savefig(path, dpi=120)


def _plain_name(load: JsonObject) -> str:
    """Return the label of a load in figures: ``8``, ``2.5/s`` or ``1-20/s``."""
    if load["kind"] == "ramp":
        return f"{load['start']:g}-{load['end']:g}/s"
    return f"{load['rate']:g}/s" if load["kind"] == "open" else str(load["concurrency"])
