"""The list of themes; the highlighted one is shown at once."""

from collections.abc import Callable, Sequence

from textual import on
from textual.widgets import OptionList

from ...i18n import _
from .pick_list import PickItem, PickList


class ThemePicker(PickList):
    """Its result is the name of a theme, None where it was closed."""

    def __init__(self, names: Sequence[str], current: str, preview: Callable[[str], None]) -> None:
        """`preview` shows a theme until the choice is made."""
        items = [PickItem(name, ("● " if name == current else "  ") + name) for name in names]
        note = _("↑ ↓: preview · Enter: use · Esc: close")
        super().__init__(_("Theme"), items, placeholder=_("Filter"), note=note)
        self._current = current
        self._preview = preview

    def on_mount(self) -> None:
        """Highlight the current theme."""
        super().on_mount()
        self.highlight(self._current)

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None:
            self._preview(event.option.id)
