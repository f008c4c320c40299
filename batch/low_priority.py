"""The values of `--low-priority`: how many rows go on beside live requests."""

from typing import Final, Literal

AUTO: Final = "auto"
"""In place of a number of rows in flight beside live requests: what is measured at the server."""

DEFAULT_IN_FLIGHT: Final = 4
"""Requests in flight beside live ones at a server that was not measured. With the demo model on two
CPU cores, 4 gave live requests 1.2 to 1.3 times the p95 TTFT that they had alone, 8 gave 1.3 to 1.9
and 64 gave 5.4 times; tests/bench/polite.py measures it."""

MIN_MEASURED_ROWS: Final = 1000
"""Rows a server from which on it is measured: in 15 to 45 seconds, in which few rows run."""

LowPriority = int | Literal["auto"]
