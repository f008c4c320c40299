"""Details of an answer: model, server, parameters, token usage, and timings."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ...cells import pad, visible_width
from ...i18n import _
from ...sanitize import one_line
from ..transcript.answer_stats import tokens_per_second
from .dialog import Dialog

if TYPE_CHECKING:
    from ...store import StoredMessage

Row = tuple[str, str]
_MAX_PROMPT: Final = 1000  # characters of a system prompt
_MAX_NAME: Final = 44  # cells for the names


class AnswerInfo(Dialog[None]):
    """Shows rows of a name and a value."""

    DEFAULT_CSS = """
    AnswerInfo { align: center middle; }
    AnswerInfo > VerticalScroll {
        width: 76; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", show=False)]

    def __init__(self, rows: "Iterator[Row]") -> None:
        super().__init__()
        self.rows = [(one_line(name), one_line(value)) for name, value in rows]

    def compose(self) -> ComposeResult:
        """Yield a line per row."""
        width = min(max(visible_width(name) for name, _value in self.rows), _MAX_NAME) + 2
        with VerticalScroll() as box:
            box.border_title = Content(_("This answer"))
            for name, value in self.rows:
                line = Content.styled(pad(name, width), "$text-muted") + Content(value)
                yield Static(line, markup=False)


def rows_of(answer: "StoredMessage") -> "Iterator[Row]":
    """Yield everything that is stored about an answer: request, result, usage, timings."""
    yield _("model"), answer.model or "-"
    yield _("server"), str(answer.used.get("server") or "-")
    if system := answer.used.get("system"):
        yield _("system prompt"), str(system)[:_MAX_PROMPT]
    yield _("requested"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(answer.created))
    yield _("state"), _state(answer)
    if answer.error:
        yield _("error"), answer.error
    yield from _parameters(answer.used.get("request"))
    if not answer.usage:
        yield _("tokens"), _("not reported by the server")
    yield from _usage(answer.usage)
    yield from _timings(answer)


def _state(answer: "StoredMessage") -> str:
    state = {
        "streaming": _("streaming"),
        "stopped": _("stopped"),
        "error": _("failed"),
        "complete": _("complete"),
    }[answer.state.value]
    if not answer.finish_reason:
        return state
    return _("{state} ({reason})").format(state=state, reason=answer.finish_reason)


def _parameters(request: Any) -> "Iterator[Row]":
    if not isinstance(request, dict) or not request:
        yield _("parameters"), _("server defaults")
        return
    for name, value in request.items():
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _usage(usage: dict[str, Any]) -> "Iterator[Row]":
    for name, value in usage.items():
        if isinstance(value, dict):
            yield from _usage({f"{name}.{key}": count for key, count in value.items() if count})
        elif isinstance(value, int):
            yield name, f"{value:,}"


def _timings(answer: "StoredMessage") -> "Iterator[Row]":
    timings = answer.timings
    labels = {
        "first_token_seconds": _("time to first token"),
        "reasoning_seconds": _("thinking time"),
        "total_seconds": _("total time"),
    }
    for name, label in labels.items():
        value = timings.get(name)
        if isinstance(value, int | float):
            yield label, _("{n:.2f} s").format(n=value)
    rate = tokens_per_second(
        answer.usage, timings.get("first_token_seconds"), timings.get("total_seconds")
    )
    if rate is not None:
        yield _("output speed"), _("{n:.1f} tokens/s").format(n=rate)
