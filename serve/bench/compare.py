"""Two results side by side: ratios, and which of them are more than noise.

The noise of a figure is what it varies by between the parts of its own window (batch means), so
what differs from run to run for other reasons, such as a busy machine, is not in it.
"""

import itertools
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ...console import table
from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from .figures import RATES, comparable

FORMAT = 1

SHOWN = (
    *("qps", "output_tokens_per_second"),
    *(
        f"{name}_ms.{stat}"
        for name in ("ttft", "tpot", "itl", "latency")
        for stat in ("mean", "p50", "p99")
    ),
)

_BEYOND = 10
"""Values beyond a percentile below which it is not judged: with fewer, two runs of the same server
differ by more than their parts tell. In 400 simulated pairs each, the p99 of 500 requests was
called better or worse in 3%, that of 1,000 in 1%, as it should be."""

# Student's t for 99% on both sides, by degrees of freedom. 99, not 95: many figures are compared.
_T = {3: 5.841, 4: 4.604, 5: 4.032, 6: 3.707, 7: 3.499, 8: 3.355, 9: 3.250}


def read(path: Path) -> JsonObject:
    """A file of `--json`. Raises `UsageError`."""
    try:
        result = json.loads(path.read_bytes())
    except OSError as e:
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=e.strerror)) from e
    except (ValueError, RecursionError) as e:
        raise UsageError(_("{file} is not JSON: {why}.").format(file=path, why=e)) from e
    if not _is_result(result):
        raise UsageError(_("{file} is no result of qchat bench --json.").format(file=path))
    whole: JsonObject = result
    return whole


def _is_result(value: JsonObject) -> bool:
    try:
        return (
            value["qchat_bench"] == FORMAT
            and isinstance(value["settings"], dict)
            and all(
                {"name", "load"} <= phase.keys()
                and isinstance(phase["why_invalid"], list)
                and all(map(_is_figure, (phase["answered"], phase["output_tokens"])))
                and all(map(_is_figure, comparable(phase).values()))
                and all(map(_is_figure, _varying(phase["slices"])))
                for phase in value["phases"]
            )
        )
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _varying(slices: list[JsonObject]) -> Iterator[object]:
    return (part[name] for part in slices for name in SHOWN if part.get(name) is not None)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def compare(a: JsonObject, b: JsonObject) -> str:
    """A table for each load that both have, in order. Raises `UsageError` where they have none."""
    others = defaultdict[str, list[JsonObject]](list)  # the same load may be there several times
    for phase in b["phases"]:
        others[json.dumps(phase["load"])].append(phase)
    parts = list(_differences(a["settings"], b["settings"]))
    found = False
    for phase in a["phases"]:
        if same := others[json.dumps(phase["load"])]:
            found = True
            parts.append(f"{phase['name']}\n{_table(phase, same.pop(0))}")
        else:
            parts.append(_("{name}: only in the first.").format(name=phase["name"]))
    left = itertools.chain.from_iterable(others.values())
    parts += [_("{name}: only in the second.").format(name=phase["name"]) for phase in left]
    if not found:
        raise UsageError(_("The two results have no load in common."))
    return "\n\n".join(parts)


def _differences(a: JsonObject, b: JsonObject) -> Iterator[str]:
    for name in sorted(a.keys() | b.keys()):
        if name != "seed" and a.get(name) != b.get(name):
            text = _("Not the same: {name} is {a} in the first and {b} in the second.")
            yield text.format(name=name, a=a.get(name), b=b.get(name))


def _table(a: JsonObject, b: JsonObject) -> str:
    rows = [(_("figure"), _("first"), _("second"), _("ratio"), "")]
    first, second = comparable(a), comparable(b)
    for name in SHOWN:
        x, y = first.get(name), second.get(name)
        if not x or not y:
            continue
        verdict = _too_few(name, a, b) or _verdict(name, x, y, _noise(a, name), _noise(b, name))
        rows.append((name.replace(".", " "), f"{x:,.2f}", f"{y:,.2f}", f"{y / x:.3f}", verdict))
    invalid = [_("INVALID: {why}.").format(why=why) for p in (a, b) for why in p["why_invalid"]]
    return "\n".join([table(rows, right=(1, 2, 3)), *invalid])


def _too_few(name: str, a: JsonObject, b: JsonObject) -> str | None:
    """That too few values stand behind a percentile; None where there are enough."""
    latency, _dot, stat = name.partition(".")
    if not stat.startswith("p"):
        return None
    least = 100 * _BEYOND // (100 - int(stat[1:]))
    if latency == "itl_ms":  # one for each token but the first
        n = min(phase["output_tokens"] - phase["answered"] for phase in (a, b))
        text = _("too few tokens to say ({n:,} of {least:,})")
    else:
        n = min(phase["answered"] for phase in (a, b))
        text = _("too few requests to say ({n:,} of {least:,})")
    return text.format(n=n, least=least) if n < least else None


def _noise(phase: JsonObject, name: str) -> tuple[float, int] | None:
    """The relative standard error of a figure, and its degrees of freedom; None: can't be said."""
    values = [part[name] for part in phase["slices"] if part.get(name) is not None]
    if len(values) - 1 not in _T or not (mean := statistics.fmean(values)):
        return None
    return statistics.stdev(values) / mean / math.sqrt(len(values)), len(values) - 1


def _verdict(
    name: str, a: float, b: float, one: tuple[float, int] | None, other: tuple[float, int] | None
) -> str:
    if one is None or other is None:
        return _("too few requests to say")
    wide = _T[min(one[1], other[1])] * math.hypot(one[0], other[0])
    if abs(math.log(b / a)) <= wide:
        return _("within noise (±{n:.0%})").format(n=math.expm1(wide))
    better = (b > a) == (name in RATES)
    return _("the second is better") if better else _("the second is worse")
