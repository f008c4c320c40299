"""How long `qchat --help` and friends take against a bare ``python -c 'import click'``.

Whole processes, in alternating rounds; the medians and their ratios are printed. The target is a
ratio of at most 2. Run: python tests/bench/startup.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import time

TARGET = 2.0
_ENTRY = "import sys; sys.argv = ['qchat', *sys.argv[1:]]; from qchat.__main__ import main; main()"


def commands() -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is measured: name → (command, extra environment); the first is the yardstick."""
    qchat = [sys.executable, "-c", _ENTRY]
    completing = {"_QCHAT_COMPLETE": "bash_complete", "COMP_WORDS": "qchat a", "COMP_CWORD": "1"}
    options = {**completing, "COMP_WORDS": "qchat ask --m", "COMP_CWORD": "2"}
    return {
        "import click": ([sys.executable, "-c", "import click"], {}),
        "qchat --version": ([*qchat, "--version"], {}),
        "qchat --help": ([*qchat, "--help"], {}),
        "qchat ask --help": ([*qchat, "ask", "--help"], {}),
        "complete a command": (qchat, completing),
        "complete an option": (qchat, options),
    }


def main(rounds: int) -> int:
    """Measure and print; 1 where a median is beyond the target."""
    seconds: dict[str, list[float]] = {name: [] for name in commands()}
    for number in range(rounds + 1):
        for name, (command, environ) in commands().items():
            started = time.perf_counter()
            subprocess.run(
                command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, check=True
            )
            if number:  # the first round warms the file cache and writes .pyc files
                seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["import click"])
    worst = 0.0
    for name, times in seconds.items():
        median = statistics.median(times)
        worst = max(worst, median / base)
        print(f"{name:20} {median * 1000:7.1f} ms  {median / base:5.2f} x")
    print(f"{rounds} rounds; target {TARGET:.1f} x: {'met' if worst <= TARGET else 'MISSED'}")
    return 0 if worst <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
