"""An OpenAI-compatible server that misbehaves on order, for tests and for trying things by hand.

    with faults.running("503:burst=2,retry_after=1") as server:
        ...                                  # a client at server.base_url
        assert server.log.answered == {"a question": 1}

By hand: ``python -m tests.faults --help``. The faults are listed in ``orders.ABOUT``.
"""

from .log import Log, Record, masked
from .orders import Fault, Order, OrderError, Style
from .running import Running, running

__all__ = [
    "Fault",
    "Log",
    "Order",
    "OrderError",
    "Record",
    "Running",
    "Style",
    "masked",
    "running",
]
