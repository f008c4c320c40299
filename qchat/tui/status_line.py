"""The line at the bottom: the server, the model, thinking, the context, the figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from ..i18n import _
from ..sanitize import one_line
from .chat.active_settings import NEAR, ActiveSettings
from .chat.conversation import Conversation

if TYPE_CHECKING:
    from .server_probe import ServerProbe


class StatusPart(NamedTuple):
    """Some words of the line. Where the line is too long, the part of the least `weight` goes
    first; `warns` makes it stand out."""

    text: str
    weight: int
    warns: bool = False


class StatusLine(Static):
    """One line of text, as much of it as there is room for."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 2; color: $text-muted; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.parts: tuple[StatusPart, ...] = ()

    def show(
        self,
        conversation: Conversation,
        current: ActiveSettings,
        probe: "ServerProbe",
        doing: str,
        stop_key: str,
    ) -> None:
        """Say how things are; `doing` is what goes on beside the conversation."""
        self.parts = tuple(_parts(conversation, current, probe, doing, stop_key))
        self._draw()

    def on_resize(self, _event: Resize) -> None:
        """More room, or less."""
        self._draw()

    def _draw(self) -> None:
        parts = fitting(self.parts, self.content_size.width or 76)
        texts = [
            Content.styled(part.text, "$text-warning") if part.warns else Content(part.text)
            for part in parts
        ]
        self.update(Content(" · ").join(texts))


def fitting(parts: Sequence[StatusPart], width: int) -> list[StatusPart]:
    """The parts that `width` cells have room for, in their order; one is always left."""
    left = [part for part in parts if part.text]
    while len(left) > 1 and cell_len(" · ".join(part.text for part in left)) > width:
        left.remove(min(left, key=lambda part: part.weight))
    return left


def _parts(
    conversation: Conversation,
    current: ActiveSettings,
    probe: "ServerProbe",
    doing: str,
    stop_key: str,
) -> Sequence[StatusPart]:
    endpoint = current.using.endpoint
    sign = {None: "…", True: "●", False: "○"}[probe.reachable]
    thinking = {None: "", True: _("thinking"), False: _("no thinking")}
    latency = ""
    if probe.last is not None and probe.last.seconds is not None:
        latency = _("{n:.0f} ms").format(n=probe.last.seconds * 1000)
    model = one_line(current.using.model or "")
    if not model and probe.last is not None and len(probe.last.models) == 1:
        model = one_line(probe.last.models[0].name)
    said, _origin = current.using.value("thinking")
    first, *others = [*conversation.figures, "", ""][:2]
    stops = conversation.answering is not None
    return (
        StatusPart(f"{sign} {endpoint.name or _short(endpoint.base_url)}", 7),
        StatusPart(latency, 1),
        StatusPart(model, 8),
        StatusPart(thinking[said], 5),
        _context(current.context, probe.context),
        StatusPart(first, 3),
        StatusPart(others[0], 2),
        StatusPart(doing, 9, warns=True),
        StatusPart(_("{key} stops").format(key=stop_key) if stops else "", 10),
    )


def _short(url: str) -> str:
    return url.partition("://")[2].removesuffix("/v1")


def _context(used: int | None, limit: int | None) -> StatusPart:
    if used is None:
        return StatusPart("", 4)
    if limit is None:
        return StatusPart(_("{n:,} tokens").format(n=used), 4)
    text = _("{n:,}/{limit:,} ({share:.0%})").format(n=used, limit=limit, share=used / limit)
    near = used >= NEAR * limit
    return StatusPart(text, 9 if near else 4, warns=near)
