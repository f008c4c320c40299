"""The lines at the edges of the window: the title above, keys and context below."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from ...i18n import _

_SEPARATOR = " · "
_KEY_GAP = "   "
_SIDE_GAP = 3  # cells between the two sides of a line
_TITLE_SHARE = 0.4  # of the line that the title may keep where the state is long


class StatusPart(NamedTuple):
    """A part of the line. Where the line is too long, the part of least `weight` is left out
    first; `warns` highlights it."""

    text: str
    weight: int
    warns: bool = False


class KeyHint(NamedTuple):
    """A key that matters now, and what it does; the last ones are left out first."""

    key: str
    label: str

    @property
    def text(self) -> str:
        """Both, as they are shown."""
        return f"{self.key} {self.label}"


class EdgeLine(Static):
    """One line with a left and a right side; `parts` are the right one, as many as fit.

    `covered` is how many of its cells, from the left, lie under something else.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.parts: tuple[StatusPart, ...] = ()
        self.covered = 0
        self._drawn: Content | None = None

    @property
    def room(self) -> int:
        """The cells of the line that can be seen."""
        return max(0, (self.content_size.width or 76) - self.covered)

    def on_resize(self, _event: Resize) -> None:
        """Fit both sides to the new width."""
        self.draw()

    def draw(self) -> None:
        """Draw both sides, if they have changed."""
        content = Content(" " * self.covered) + self.line()
        if content != self._drawn:
            self._drawn = content
            self.update(content, layout=False)

    def line(self) -> Content:
        """Return what can be seen of the line. Abstract: each line has its own left side."""
        raise NotImplementedError  # not abc's: Textual's widgets have a metaclass of their own


class TitleBar(EdgeLine):
    """The title of the conversation, and the server that answers."""

    DEFAULT_CSS = """
    TitleBar { height: 1; padding: 0 2; color: $text-muted; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = ""

    def show(self, title: str, parts: Sequence[StatusPart]) -> None:
        """Show this title, '' for a conversation that has not begun, and these parts."""
        self._title = title
        self.parts = tuple(parts)
        self.draw()

    def line(self) -> Content:
        """The name of the program and the title, then the parts."""
        room = self.room
        name = "qchat"
        title = f"{_SEPARATOR}{self._title}" if self._title else ""
        least = min(cell_len(name + title), int(room * _TITLE_SHARE))
        right, width = _right_side(self.parts, room - least - _SIDE_GAP)
        space = room - width - _SIDE_GAP - cell_len(name)
        left = Content.styled(name, "bold $primary") + Content(_cropped(title, space))
        return _spread(left, right, room)


class StatusLine(EdgeLine):
    """The keys that matter now, and how full the context is."""

    DEFAULT_CSS = """
    StatusLine { height: 1; color: $text-muted; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: tuple[KeyHint, ...] = ()

    def show(self, parts: Sequence[StatusPart], keys: Sequence[KeyHint] = ()) -> None:
        """Show these keys on the left and these parts on the right."""
        self.parts = tuple(parts)
        self.keys = tuple(keys)
        self.draw()

    def line(self) -> Content:
        """Parts first: they say what is wrong; keys in the room that is left."""
        room = self.room
        right, width = _right_side(self.parts, room)
        space = room - width - (_SIDE_GAP if width else 0)
        left = Content(_KEY_GAP).join(
            Content.styled(hint.key, "bold $foreground 80%") + Content(f" {hint.label}")
            for hint in fitting_keys(self.keys, space)
        )
        return _spread(left, right, room)


def fitting(parts: Sequence[StatusPart], width: int) -> list[StatusPart]:
    """The parts that fit into `width` cells, in their order; at least one."""
    left = [part for part in parts if part.text]
    while len(left) > 1 and cell_len(_SEPARATOR.join(part.text for part in left)) > width:
        left.remove(min(left, key=lambda part: part.weight))
    return left


def fitting_keys(keys: Sequence[KeyHint], width: int) -> list[KeyHint]:
    """The first keys that fit into `width` cells; at most all."""
    count = len(keys)
    while count and cell_len(_KEY_GAP.join(hint.text for hint in keys[:count])) > width:
        count -= 1
    return list(keys[:count])


def _right_side(parts: Sequence[StatusPart], width: int) -> tuple[Content, int]:
    """The parts that fit, and their cells; the only one that is left is cropped."""
    texts = [(part, _cropped(part.text, width)) for part in fitting(parts, width)]
    content = Content(_SEPARATOR).join(
        Content.styled(text, "$text-warning") if part.warns else Content(text)
        for part, text in texts
    )
    return content, cell_len(content.plain)


def _cropped(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + _("…") if width > 1 else ""


def _spread(left: Content, right: Content, width: int) -> Content:
    gap = max(0, width - cell_len(left.plain) - cell_len(right.plain))
    return left + Content(" " * gap) + right
