"""The chart of calibration: how often answers of a probability were right."""

import math
from collections.abc import Sequence

from ...html.charts import svg
from ...html.markup import Html, tag
from ...i18n import _


def calibration_chart(points: Sequence[tuple[float, float, int]], label: str) -> Html:
    """Draw how often answers of a probability were right: (mean probability, share right, rows)."""
    size, left = 240, 36
    inner = size - left - 8

    def place(x: float, y: float) -> tuple[float, float]:
        return left + inner * x, size - 26 - inner * y

    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    parts = [
        tag("line", class_="axis", x1=x1, x2=x2, y1=y1, y2=y1),
        tag("line", class_="axis", x1=x1, x2=x1, y1=y1, y2=y2),
        tag("line", class_="grid", x1=x1, x2=x2, y1=y1, y2=y2),
        tag("text", "0", class_="tick", x=x1, y=y1 + 15),
        tag("text", "1", class_="tick", x=x2, y=y1 + 15, text_anchor="end"),
        tag("text", "1", class_="value", x=x1 - 6, y=y2 + 8),
    ]
    most = max((rows for _x, _y, rows in points), default=1)
    line = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y, _rows in points)
    parts.append(tag("polyline", class_="curve", points=line))
    text = _("{rows:,} rows: {p:.2f} sure, {right:.0%} right")
    for x, y, rows in points:
        cx, cy = place(x, y)
        radius = 2.5 + 5 * math.sqrt(rows / most)
        title = tag("title", text.format(rows=rows, p=x, right=y))
        parts.append(
            tag("circle", title, class_="dot", cx=f"{cx:.1f}", cy=f"{cy:.1f}", r=f"{radius:.1f}")
        )
    return svg(parts, size, size, label)
