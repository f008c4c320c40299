"""The fullest second of a measurement, and what each request took: pure functions, in seconds."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ...json_types import JsonObject
from .client import RequestRecord


def peaks(completed: Sequence[RequestRecord]) -> JsonObject:
    """Return the most output tokens and the most requests in flight in a second, as `vllm bench`
    has them: the seconds count from when the first of the completed requests was sent, and a
    request counts in each that it touches. Its tokens are spread over its chunks."""
    tokens: defaultdict[int, float] = defaultdict(float)
    changes: Counter[int] = Counter()
    start = min((record.sent_at for record in completed), default=0.0)
    for record in completed:
        changes[int(record.sent_at - start)] += 1
        changes[int(record.last_token_at - start) + 1] -= 1
        each = record.completion_tokens / (len(record.itl) + 1)  # a chunk may have several tokens
        arrival = record.first_token_at
        tokens[int(arrival - start)] += each
        for seconds in record.itl:
            arrival += seconds
            tokens[int(arrival - start)] += each
    running = most = 0
    for _second, change in sorted(changes.items()):
        running += change
        most = max(most, running)
    return {"output_tokens_per_second": max(tokens.values(), default=0.0), "requests": most}


def request_times(in_window: Sequence[RequestRecord]) -> JsonObject:
    """Return lists with a value for each request: `latency_s` from when it was sent to its last
    token, 0 for a failed one, and `queue_s` that it waited in the client before."""
    return {
        "latency_s": [
            0.0 if record.failure is not None else record.last_token_at - record.sent_at
            for record in in_window
        ],
        "queue_s": [record.sent_at - record.scheduled_at for record in in_window],
    }
