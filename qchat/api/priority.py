"""The header by which a request says that it yields to others.

`qchat batch --low-priority` sends it, the access layer of `qchat serve` counts by it, and other
servers ignore it. It only ever makes a request less urgent.
"""

HEADER = "X-Qchat-Priority"
LOW = "low"
LIVE_RUNNING = "qchat_live_requests_running"
"""Figure of `qchat serve`: requests without the header that are being answered."""
LIVE_TOTAL = "qchat_live_requests_total"
"""Figure of `qchat serve`: requests without the header, since its start."""
