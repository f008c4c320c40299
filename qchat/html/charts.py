"""Charts as SVG, drawn with classes of the page's own style: no inline style, no script."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .markup import Html, tag

WIDTH, HEIGHT = 720, 180
_LEFT, _BOTTOM, _TOP = 56, 22, 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it begins and ends on the axis (0 to 1), its value, and what it says when
    pointed at. `mark` draws a line before it."""

    start: float
    end: float
    value: float
    title: str
    mark: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A label below the axis, at 0 to 1."""

    at: float
    text: str


def bar_chart(bars: Sequence[Bar], ticks: Sequence[Tick], label: str) -> Html:
    """Draw bars from the axis up; `label` says what the chart is, for those who can't see it."""
    top = nice_ceiling(max((bar.value for bar in bars), default=0.0))
    inner, plot = WIDTH - _LEFT - 8, HEIGHT - _BOTTOM - _TOP
    base = HEIGHT - _BOTTOM
    parts: list[Html] = []
    for share in (0.5, 1.0):
        y = base - plot * share
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=WIDTH - 8, y1=y, y2=y))
        value = short_number(top * share)
        parts.append(tag("text", value, class_="value", x=_LEFT - 6, y=y + 4))
    for bar in bars:
        x, width = _LEFT + inner * bar.start, max(inner * (bar.end - bar.start) - 1, 0.8)
        height = plot * bar.value / top if top else 0.0
        if bar.mark:
            parts.append(tag("line", class_="mark", x1=x, x2=x, y1=_TOP, y2=base))
        shape = tag(
            "rect",
            class_="bar",
            x=f"{x:.1f}",
            y=f"{base - height:.1f}",
            width=f"{width:.1f}",
            height=f"{max(height, 0.0):.1f}",
        )
        # The whole column answers the pointer, however short the bar is.
        column = tag(
            "rect", class_="column", x=f"{x:.1f}", y=_TOP, width=f"{width:.1f}", height=plot
        )
        parts.append(tag("g", tag("title", bar.title), column, shape))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=WIDTH - 8, y1=base, y2=base))
    for tick in ticks:
        x = _LEFT + inner * tick.at
        anchor = "start" if tick.at < 0.02 else "end" if tick.at > 0.98 else "middle"
        parts.append(
            tag("text", tick.text, class_="tick", x=f"{x:.1f}", y=base + 15, text_anchor=anchor)
        )
    return svg(parts, WIDTH, HEIGHT, label)


def share_bar(share: float) -> Html:
    """Draw a share, 0 to 1, as a bar in a table's cell."""
    width = max(0.0, min(1.0, share)) * 120
    inside = [tag("rect", class_="bar", x=0, y=1, width=f"{width:.1f}", height=8)]
    return tag("svg", inside, class_="share", viewBox="0 0 120 10", aria_hidden="true")


def svg(parts: Sequence[Html], width: int, height: int, label: str) -> Html:
    """Return a chart of these parts; `label` says what it is, for those who can't see it."""
    return tag("svg", parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)


def nice_ceiling(value: float) -> float:
    """Return the least round number that is not below `value`."""
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(
        unit * step
        for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
        if unit * step >= value * 0.9999
    )


def short_number(value: float) -> str:
    """Format a number in few characters: ``0.05``, ``7``, ``1.2k``, ``3.4M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def log_ticks(low: float, high: float) -> Iterator[float]:
    """Yield round numbers between two: powers of ten, and 2 and 5 times them where they are few."""
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 4 else (1.0, 3.0) if decades > 2 else (1.0, 2.0, 5.0)
    if decades < 0.3:
        yield low
        yield high
        return
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            value = step * 10.0**exponent
            if low * 0.999 <= value <= high * 1.001:
                yield value
