"""What is known of an answer: who gave it, with what, how fast, and how it ended."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...i18n import _
from ...sanitize import one_line
from ..transcript.answer_stats import tokens_per_second

if TYPE_CHECKING:
    from ...store import StoredMessage

Row = tuple[str, str]
_SHOWN: Final = 1000  # characters of a system prompt
_WIDEST: Final = 44  # columns for the names


class AnswerInfo(ModalScreen[None]):
    """Lines of a name and a value over the conversation."""

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
        """All of it; the arrows scroll."""
        wide = min(max(len(name) for name, _value in self.rows), _WIDEST) + 2
        with VerticalScroll() as box:
            box.border_title = Content(_("This answer"))
            for name, value in self.rows:
                line = Content.styled(name.ljust(wide), "$text-muted") + Content(value)
                yield Static(line, markup=False)


def rows_of(answer: "StoredMessage") -> "Iterator[Row]":
    """Everything that is stored of an answer, as it was asked and as it came."""
    yield _("model"), answer.model or "-"
    yield _("server"), str(answer.used.get("server") or "-")
    if system := answer.used.get("system"):
        yield _("system prompt"), str(system)[:_SHOWN]
    yield _("asked"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(answer.created))
    yield _("ended"), _ending(answer)
    if answer.error:
        yield _("error"), answer.error
    yield from _parameters(answer.used.get("request"))
    if not answer.usage:
        yield _("tokens"), _("the server did not say")
    yield from _usage(answer.usage)
    yield from _timings(answer)


def _ending(answer: "StoredMessage") -> str:
    state = {
        "streaming": _("it is still coming"),
        "stopped": _("stopped"),
        "error": _("failed"),
        "complete": _("complete"),
    }[answer.state.value]
    return f"{state} ({answer.finish_reason})" if answer.finish_reason else state


def _parameters(request: Any) -> "Iterator[Row]":
    if not isinstance(request, dict) or not request:
        yield _("parameters"), _("the server's own")
        return
    for name, value in request.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, shown


def _usage(usage: dict[str, Any]) -> "Iterator[Row]":
    for name, value in usage.items():
        if isinstance(value, dict):
            yield from _usage({f"{name}.{key}": one for key, one in value.items() if one})
        elif isinstance(value, int):
            yield name, f"{value:,}"


def _timings(answer: "StoredMessage") -> "Iterator[Row]":
    timings = answer.timings
    names = {
        "first_token_seconds": _("first token after"),
        "reasoning_seconds": _("thought for"),
        "total_seconds": _("took"),
    }
    for name, shown in names.items():
        value = timings.get(name)
        if isinstance(value, int | float):
            yield shown, _("{n:.2f} s").format(n=value)
    rate = tokens_per_second(
        answer.usage, timings.get("first_token_seconds"), timings.get("total_seconds")
    )
    if rate is not None:
        yield _("speed"), _("{n:.1f} tokens/s").format(n=rate)
