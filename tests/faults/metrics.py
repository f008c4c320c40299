"""What vLLM's ``/metrics`` tells, under vLLM's names (vllm/v1/metrics/loggers.py, 0.32.0)."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Engine"]


@dataclass(slots=True)
class Engine:
    """The pretended engine's counters. ``generated`` and ``prompted`` are tokens."""

    running: int = 0
    waiting: int = 0
    generated: int = 0
    prompted: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})

    def exposition(self, model: str, slots: int) -> str:
        """The Prometheus text. ``slots`` requests at once would fill the KV cache."""
        label = f'engine="0",model_name="{model}"'
        usage = min(1.0, self.running / slots)
        lines: list[str] = []

        def metric(name: str, kind: str, about: str, value: float, extra: str = "") -> None:
            title = f"# HELP vllm:{name} {about}"
            if title not in lines:
                lines.extend((title, f"# TYPE vllm:{name} {kind}"))
            lines.append(f"vllm:{name}{{{label}{extra}}} {float(value)}")

        metric(
            *("num_requests_running", "gauge"),
            "Number of requests in model execution batches.",
            self.running,
        )
        metric(
            *("num_requests_waiting", "gauge"),
            "Number of requests waiting to be processed.",
            self.waiting,
        )
        metric(
            *("kv_cache_usage_perc", "gauge"),
            "KV-cache usage. 1 means 100 percent usage.",
            usage,
        )
        metric("num_preemptions_total", "counter", "Cumulative number of preemption.", 0)
        metric(
            *("prompt_tokens_total", "counter"),
            "Number of prefill tokens processed.",
            self.prompted,
        )
        metric(
            *("generation_tokens_total", "counter"),
            "Number of generation tokens processed.",
            self.generated,
        )
        for reason, count in self.finished.items():
            metric(
                *("request_success_total", "counter"),
                "Count of successfully processed requests.",
                count,
                f',finished_reason="{reason}"',
            )
        return "\n".join(lines) + "\n"
