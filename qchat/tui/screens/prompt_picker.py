"""Picks a system prompt: one of the folder, a new one to write, or none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from ...errors import UsageError
from ...i18n import _
from ...system_prompts import Prompts
from .pick_list import PickItem, PickListScreen

_NONE: Final = "-"
_EDIT: Final = "edit:"  # before the name in the key of a prompt that can only be edited


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """The prompt `name` (None for no prompt), which the user wants to `edit` first, or not."""

    name: str | None
    edit: bool = False


class PromptPicker(PickListScreen[PromptChoice]):
    """Lists the system prompts of the folder."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "edit", show=False, priority=True),
    ]

    def __init__(self, prompts: Prompts, current: str | None) -> None:
        """`current` is the text of the prompt in use."""
        self._prompts = prompts
        self._current = current
        super().__init__(
            _("System prompt"),
            list(self._list_items()),
            placeholder=_("Name; a new name opens your editor"),
            note=_("Enter: use · Ctrl+E: edit · Esc: close · folder: {folder}").format(
                folder=prompts.folder
            ),
        )

    def _list_items(self) -> Iterator[PickItem]:
        current = self._prompts.name_of(self._current) if self._current else None
        bullet = {True: "● ", False: "  "}
        yield PickItem(_NONE, bullet[self._current is None] + _("none"))
        if self._current is not None and current is None:
            yield PickItem("", bullet[True] + _("not in the folder"), self._current)
        for name in self._prompts.names():
            try:
                text = self._prompts.read(name)[:200]
                yield PickItem(name, bullet[name == current] + name, text)
            except UsageError as e:
                key = f"{_EDIT}{name}" if self._can_be_edited(name) else ""
                yield PickItem(key, bullet[False] + name, str(e), is_error=True)

    def _can_be_edited(self, name: str) -> bool:
        try:
            self._prompts.draft(name)
        except UsageError:
            return False
        return True

    def pick(self, key: str | None) -> None:
        """Return a prompt, or a new name to edit."""
        if key is None:
            if self.filter_text:
                self._edit(self.filter_text)
        elif key.startswith(_EDIT):
            self._edit(key.removeprefix(_EDIT))
        else:
            self.dismiss(PromptChoice(None if key == _NONE else key))

    def action_edit(self) -> None:
        """Edit the highlighted prompt, or a new one of the name that was typed."""
        key = self.highlighted_key
        if key is not None and key != _NONE:
            self._edit(key.removeprefix(_EDIT))
        elif self.filter_text:
            self._edit(self.filter_text)

    def _edit(self, name: str) -> None:
        try:
            self._prompts.draft(name)
        except UsageError as e:
            self.show_note(str(e), error=True)
            return
        self.dismiss(PromptChoice(name, edit=True))
