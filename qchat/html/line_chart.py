"""Curves as SVG: several series over one axis, each in a color of the page's style."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .charts import Tick, log_ticks, nice_ceiling, short_number, svg
from .markup import Html, join, tag

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 22

COLORS = 4
"""The colors of series; more series begin again with the first."""

STYLE = """
:root{--s0:#2f6f9f;--s1:#b4581c;--s2:#3a7d44;--s3:#7b5aa6}
@media(prefers-color-scheme:dark){:root:not([data-theme=light]){--s0:#6fb1e0;--s1:#e39a5f;
--s2:#7cc489;--s3:#b79be0}}
:root[data-theme=dark]{--s0:#6fb1e0;--s1:#e39a5f;--s2:#7cc489;--s3:#b79be0}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}
.line.s3{stroke:var(--s3)}
.point.s0{fill:var(--s0)}.point.s1{fill:var(--s1)}.point.s2{fill:var(--s2)}.point.s3{fill:var(--s3)}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--soft);margin:4px 0 10px}
.key b{font-weight:400}.key b::before{content:"";display:inline-block;width:14px;height:3px;
margin-right:6px;vertical-align:middle;background:var(--bar)}
.key .s0::before{background:var(--s0)}.key .s1::before{background:var(--s1)}
.key .s2::before{background:var(--s2)}.key .s3::before{background:var(--s3)}
"""
"""For `document`, on a page with such charts."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place of the axis; `title` is what it says when pointed at, None: no mark. A
    value of None leaves a gap."""

    x: float
    y: float | None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A curve and its name."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with labels; `place` maps a value to 0 to 1."""

    place: Callable[[float], float]
    ticks: Sequence[Tick]


def linear_axis(low: float, high: float, text: Callable[[float], str] = short_number) -> Axis:
    """An axis with five labels."""
    width = (high - low) or 1.0
    ticks = [Tick(share, text(low + width * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Axis(lambda value: (value - low) / width, ticks)


def log_axis(low: float, high: float, text: Callable[[float], str] = short_number) -> Axis:
    """A logarithmic axis with round labels; what is below `low` stands there."""
    low = max(low, 1e-6)
    high = max(high, low * 1.001)
    width = math.log10(high / low)

    def place(value: float) -> float:
        return math.log10(max(value, low) / low) / width

    return Axis(place, [Tick(place(value), text(value)) for value in log_ticks(low, high)])


def named_axis(names: Sequence[str]) -> Axis:
    """An axis of named places 0, 1, 2, …; where there are many, not all have their label."""
    last = max(len(names) - 1, 1)
    step = math.ceil(len(names) / 9)
    ticks = [Tick(n / last, name) for n, name in enumerate(names) if n % step == 0]
    return Axis(lambda value: value / last, ticks)


def line_chart(
    series: Sequence[Series], axis: Axis, label: str, *, highest: float | None = None
) -> Html:
    """Draw curves from 0 up, and their key below where there are several.

    `label` says what the chart is; `highest` is the top of the vertical axis, else the least round
    number that holds all.
    """
    values = [point.y for one in series for point in one.points if point.y is not None]
    top = highest or nice_ceiling(max(values, default=0.0))
    inner, plot, base = WIDTH - _LEFT - _RIGHT, HEIGHT - _BOTTOM - _TOP, HEIGHT - _BOTTOM
    parts: list[Html] = []
    for share in (0.25, 0.5, 0.75, 1.0):
        y = base - plot * share
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y))
        parts.append(tag("text", short_number(top * share), class_="value", x=_LEFT - 6, y=y + 4))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=WIDTH - _RIGHT, y1=base, y2=base))
    for tick in axis.ticks:
        anchor = "start" if tick.at < 0.02 else "end" if tick.at > 0.98 else "middle"
        x = f"{_LEFT + inner * tick.at:.1f}"
        parts.append(tag("text", tick.text, class_="tick", x=x, y=base + 15, text_anchor=anchor))

    def place(point: Point) -> tuple[float, float]:
        height = plot * min(max(point.y or 0.0, 0.0) / top, 1.0)
        return _LEFT + inner * min(max(axis.place(point.x), 0.0), 1.0), base - height

    for number, one in enumerate(series):
        color = f"s{number % COLORS}"
        for run in _runs(one.points):
            points = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in run)
            parts.append(tag("polyline", class_=f"line {color}", points=points))
        for point in one.points:
            if point.title is not None and point.y is not None:
                cx, cy = place(point)
                title = tag("title", point.title)
                parts.append(
                    tag(
                        "circle",
                        title,
                        class_=f"point {color}",
                        cx=f"{cx:.1f}",
                        cy=f"{cy:.1f}",
                        r=4,
                    )
                )
    chart = svg(parts, WIDTH, HEIGHT, label)
    if len(series) == 1:
        return chart
    key = [tag("b", one.name, class_=f"s{number % COLORS}") for number, one in enumerate(series)]
    return join([chart, tag("div", key, class_="key")])


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """The points between gaps."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.y is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]
