"""What a bench found, in lines that `python -m tests.bench` collects into its table and plot."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

MARK = "FIGURE "


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its target: at least that, or at most with `less`."""

    name: str
    value: float
    target: float
    unit: str = "x"
    less: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.less else self.value >= self.target

    @property
    def share(self) -> float:
        """How far the target is reached: 1 is just met, more is better."""
        if self.less:
            return self.target / max(self.value, 1e-9)
        return self.value / self.target

    def say(self) -> None:
        """Print it for `python -m tests.bench`."""
        print(MARK + json.dumps(asdict(self)), flush=True)


def read(line: str) -> Figure | None:
    """The figure of a printed line, if it is one."""
    return Figure(**json.loads(line.removeprefix(MARK))) if line.startswith(MARK) else None


def end(figures: Sequence[Figure]) -> int:
    """Print them; the exit code of a bench: 1 where one missed its target."""
    for figure in figures:
        figure.say()
    return int(not all(figure.met for figure in figures))


def table(figures: Sequence[Figure]) -> str:
    """As Markdown."""
    rows = ["| what | measured | target | |", "|---|---|---|---|"]
    for f in figures:
        sign = "≤" if f.less else "≥"
        unit = "" if f.unit == "x" else f" {f.unit}"
        rows.append(
            f"| {f.name} | {f.value:.3g}{unit} | {sign} {f.target:.3g}{unit} "
            f"| {'met' if f.met else 'MISSED'} |"
        )
    return "\n".join(rows) + "\n"


def plot(figures: Sequence[Figure]) -> str:
    """As an SVG: a bar for each figure, how far it reaches its target (the line at 1)."""
    row, left, wide = 26, 430, 320
    scale = wide / max(2.0, *(min(f.share, 4.0) for f in figures)) if figures else 1.0
    high = row * len(figures) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 90}" height="{high}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for n, f in enumerate(figures):
        y, width = 10 + n * row, min(f.share, 4.0) * scale
        colour = "#3a7d44" if f.met else "#b3412f"
        unit = "" if f.unit == "x" else f" {f.unit}"
        parts += [
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(f.name)}</text>',
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{row - 8}" fill="{colour}"/>',
            f'<text x="{left + width + 6:.1f}" y="{y + 15}">{f.value:.3g}{escape(unit)}</text>',
        ]
    x = left + scale
    parts.append(
        f'<path d="M{x:.1f} 4V{high - 24}" stroke="#222" stroke-dasharray="4 3"/>'
        f'<text x="{x:.1f}" y="{high - 8}" text-anchor="middle">target</text></svg>'
    )
    return "\n".join(parts) + "\n"


def write(figures: Sequence[Figure], folder: Path) -> None:
    """The table and the plot, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table(figures))
    (folder / "plot.svg").write_text(plot(figures))
    sys.stdout.write(table(figures))
