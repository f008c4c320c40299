"""Two results side by side: ratios, and whether they are statistically significant.

The noise of a metric is estimated from the parts of its own window (batch means); differences
between runs of other causes, such as a busy machine, are not in it.
"""

import itertools
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ...console import fitted_table
from ...errors import UsageError, json_fault
from ...i18n import _
from ...json_types import JsonObject
from .load_shapes import shown_name
from .metrics import RATES, comparable_metrics

FORMAT = 1

COMPARED = (
    *("qps", "output_tokens_per_second"),
    *(
        f"{name}_ms.{stat}"
        for name in ("ttft", "tpot", "itl", "latency")
        for stat in ("mean", "p50", "p99")
    ),
)

_LONGEST = "output_tokens_per_second"
"""A name that is too long for a terminal beside figures and a verdict."""

_MIN_TAIL_VALUES = 10
"""The fewest values above a percentile for a verdict: with fewer, two runs of the same server vary
by more than their parts predict. In 400 simulated pairs each, the p99 of 500 requests was called
better or worse in 3%, that of 1,000 in 1%, as it should be."""

# Student's t, two-sided 99%, by degrees of freedom. 99, not 95: many metrics are compared.
_STUDENT_T_99 = {3: 5.841, 4: 4.604, 5: 4.032, 6: 3.707, 7: 3.499, 8: 3.355, 9: 3.250}


def read_result(path: Path) -> JsonObject:
    """Read a file that `--json` wrote. Raises `UsageError`."""
    try:
        result = json.loads(path.read_bytes())
    except OSError as e:
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=_(e.strerror))) from e
    except (ValueError, RecursionError) as e:
        why = json_fault(e) if isinstance(e, ValueError) else e
        raise UsageError(_("{file} is not JSON: {why}.").format(file=path, why=why)) from e
    if not _is_result(result):
        raise UsageError(_("{file} is not a result of qchat bench --json.").format(file=path))
    parsed: JsonObject = result
    return parsed


def _is_result(value: JsonObject) -> bool:
    try:
        return (
            value["qchat_bench"] == FORMAT
            and isinstance(value["settings"], dict)
            and all(
                {"name", "load"} <= phase.keys()
                and isinstance(phase["why_invalid"], list)
                and all(map(_is_metric, (phase["answered"], phase["output_tokens"])))
                and all(map(_is_metric, comparable_metrics(phase).values()))
                and all(map(_is_metric, _slice_values(phase["slices"])))
                for phase in value["phases"]
            )
        )
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _slice_values(slices: list[JsonObject]) -> Iterator[object]:
    return (part[name] for part in slices for name in COMPARED if part.get(name) is not None)


def _is_metric(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def compare(a: JsonObject, b: JsonObject) -> str:
    """Compare the loads that both have, a table each, in order. Raises `UsageError` without any."""
    remaining = defaultdict[str, list[JsonObject]](list)  # the same load may be there several times
    for phase in b["phases"]:
        remaining[json.dumps(phase["load"])].append(phase)
    parts = list(_differences(a["settings"], b["settings"]))
    has_common_load = False
    for phase in a["phases"]:
        if same := remaining[json.dumps(phase["load"])]:
            has_common_load = True
            parts.append(f"{shown_name(phase)}\n{_table(phase, same.pop(0))}")
        else:
            parts.append(_("{name}: only in the first result.").format(name=shown_name(phase)))
    unmatched = itertools.chain.from_iterable(remaining.values())
    parts += [
        _("{name}: only in the second result.").format(name=shown_name(phase))
        for phase in unmatched
    ]
    if not has_common_load:
        raise UsageError(_("The two results have no load in common."))
    return "\n\n".join(parts)


def _differences(a: JsonObject, b: JsonObject) -> Iterator[str]:
    for name in sorted(a.keys() | b.keys()):
        if name != "seed" and a.get(name) != b.get(name):
            text = _("Different settings: {name} is {a} in the first and {b} in the second.")
            yield text.format(name=name, a=a.get(name), b=b.get(name))


def _table(a: JsonObject, b: JsonObject) -> str:
    rows = [(_("metric"), _("first"), _("second"), _("ratio"), "")]
    first, second = comparable_metrics(a), comparable_metrics(b)
    for name in COMPARED:
        x, y = first.get(name), second.get(name)
        if not x or not y:
            continue
        verdict = _too_few_values(name, a, b) or _verdict(
            name, x, y, _noise(a, name), _noise(b, name)
        )
        label = _("output tokens/s") if name == _LONGEST else name.replace(".", " ")
        rows.append((label, f"{x:,.2f}", f"{y:,.2f}", f"{y / x:.3f}", verdict))
    invalid = [_("INVALID: {why}.").format(why=why) for p in (a, b) for why in p["why_invalid"]]
    return "\n".join([fitted_table(rows, shrink=4, right=(1, 2, 3)), *invalid])


def _too_few_values(name: str, a: JsonObject, b: JsonObject) -> str | None:
    """A verdict for a percentile of too few values; None for enough of them."""
    latency, _dot, stat = name.partition(".")
    if not stat.startswith("p"):
        return None
    required = 100 * _MIN_TAIL_VALUES // (100 - int(stat[1:]))
    if latency == "itl_ms":  # one for each token but the first
        n = min(phase["output_tokens"] - phase["answered"] for phase in (a, b))
        text = _("too few tokens ({n:,} of {required:,})")
    else:
        n = min(phase["answered"] for phase in (a, b))
        text = _("too few requests ({n:,} of {required:,})")
    return text.format(n=n, required=required) if n < required else None


def _noise(phase: JsonObject, name: str) -> tuple[float, int] | None:
    """The relative standard error of a metric and its degrees of freedom; None without enough
    parts."""
    values = [part[name] for part in phase["slices"] if part.get(name) is not None]
    if len(values) - 1 not in _STUDENT_T_99 or not (mean := statistics.fmean(values)):
        return None
    return statistics.stdev(values) / mean / math.sqrt(len(values)), len(values) - 1


def _verdict(
    name: str,
    a: float,
    b: float,
    noise_a: tuple[float, int] | None,
    noise_b: tuple[float, int] | None,
) -> str:
    if noise_a is None or noise_b is None:
        return _("too few requests for a verdict")
    interval = _STUDENT_T_99[min(noise_a[1], noise_b[1])] * math.hypot(noise_a[0], noise_b[0])
    if abs(math.log(b / a)) <= interval:
        return _("within noise (±{n:.0%})").format(n=math.expm1(interval))
    better = (b > a) == (name in RATES)
    return _("the second is better") if better else _("the second is worse")
