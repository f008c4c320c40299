"""The plot of a benchmark, in each language: every character is drawn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from qchat.serve.bench import plot

PROGRAM = """
import sys, warnings
from pathlib import Path
from qchat.serve.bench import plot
from qchat.serve.bench.load_shapes import ClosedLoop, OpenLoop
warnings.simplefilter("error")
if sys.argv[2] == "without fonts":
    plot.CHINESE_FONTS = ()
stats = {"p50": 1.0, "p90": 2.0, "p99": None}
phases = [
    {
        "name": load.name,
        "load": shape,
        "output_tokens_per_second": 9.0,
        **{f"{name}_ms": stats for name in ("ttft", "tpot", "latency")},
    }
    for load, shape in (
        (ClosedLoop(8), {"kind": "closed", "concurrency": 8}),
        (OpenLoop(2.5), {"kind": "open", "rate": 2.5}),
    )
]
plot.draw(Path(sys.argv[1]), "demo  http://127.0.0.1:8000", phases)
"""


@pytest.mark.parametrize("fonts", ["with fonts", "without fonts"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_plot_has_no_missing_characters(tmp_path: Path, language: str, fonts: str) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "a.png"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(picture), fonts],
        env={**os.environ, "QCHAT_LANG": language, "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_font_with_chinese_is_taken_where_one_is_installed() -> None:
    assert plot.find_font({"DejaVu Sans", "SimHei", "Noto Sans CJK SC"}) == "Noto Sans CJK SC"
    assert plot.find_font({"DejaVu Sans"}) is None
