"""The layer's figures as text for Prometheus, to be added to vLLM's own."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

from ...api.priority import LIVE_RUNNING, LIVE_TOTAL
from .accounts import Accounts, KeyCounters

_Read = Callable[[KeyCounters], int]
_FAMILIES: tuple[tuple[str, str, str, _Read], ...] = (
    ("qchat_requests_running", "gauge", "Requests that are being answered.", lambda c: c.running),
    ("qchat_requests_total", "counter", "Requests that were let in.", lambda c: c.requests),
    (
        *("qchat_request_tokens_total", "counter", "Tokens of prompts and completions."),
        lambda c: c.prompt_tokens + c.completion_tokens,
    ),
    (
        *("qchat_request_prompt_tokens_total", "counter", "Tokens of prompts."),
        lambda c: c.prompt_tokens,
    ),
    (
        *("qchat_request_completion_tokens_total", "counter", "Tokens of completions."),
        lambda c: c.completion_tokens,
    ),
)
_REFUSED = "qchat_requests_refused_total"


def prometheus_text(accounts: Accounts, query: bytes = b"") -> bytes:
    """Return the figures by the key's name in Prometheus's text format; those of requests without
    a key have ``key=""``. `query` may choose families by ``name[]=``, as for vLLM's."""
    chosen = parse_qs(query.decode("latin-1")).get("name[]")
    lines: list[str] = []
    for name, kind, about, read in _FAMILIES:
        if chosen is None or name in chosen:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [f'{name}{{key="{_label(k)}"}} {read(c)}' for k, c in _sorted(accounts)]
    for name, kind, about, value in (
        (
            LIVE_RUNNING,
            "gauge",
            "Requests being answered that yield to none.",
            accounts.live_running,
        ),
        (LIVE_TOTAL, "counter", "Requests that yield to none.", accounts.live_total),
    ):
        if chosen is None or name in chosen:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {value}"]
    if chosen is None or _REFUSED in chosen:
        lines += [
            f"# HELP {_REFUSED} Requests that were over a limit.",
            f"# TYPE {_REFUSED} counter",
        ]
        for key, counters in _sorted(accounts):
            for limit, count in sorted(counters.refusals.items()):
                lines.append(f'{_REFUSED}{{key="{_label(key)}",limit="{limit}"}} {count}')
    return "".join(f"{line}\n" for line in lines).encode()


def live_text(accounts: Accounts, query: bytes) -> bytes | None:
    """Return the figures of live requests, where `query` chooses nothing else; None elsewhere."""
    chosen = parse_qs(query.decode("latin-1")).get("name[]")
    if not chosen or not {LIVE_RUNNING, LIVE_TOTAL}.issuperset(chosen):
        return None
    return prometheus_text(accounts, query)


def _sorted(accounts: Accounts) -> Iterator[tuple[str, KeyCounters]]:
    return iter(sorted(accounts.keys.items()))


def _label(key: str) -> str:
    return key.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
