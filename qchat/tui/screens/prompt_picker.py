"""System prompts: those in the folder, to choose, to write anew, or to do without."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from ...errors import UsageError
from ...i18n import _
from ...system_prompts import Prompts
from .pick_list import PickItem, PickList

_NONE = "-"


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """What a person wants: the prompt `name` (None: none), or to `edit` it first."""

    name: str | None
    edit: bool = False


class PromptPicker(PickList):
    """The result is ``-``, a name, or a name with ``edit:`` before it (see `wish`)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "edit", show=False, priority=True),
    ]

    def __init__(self, prompts: Prompts, current: str | None) -> None:
        """`current` is the text that is in use."""
        self._prompts = prompts
        self._current = current
        super().__init__(
            _("System prompt"),
            list(self._lines()),
            hint=_("A name; a new one is written in your editor"),
            note=_("Enter chooses · Ctrl+E edits · Escape leaves · they stand in {folder}").format(
                folder=prompts.folder
            ),
        )

    def _lines(self) -> Iterator[PickItem]:
        named = self._prompts.name_of(self._current) if self._current else None
        sign = {True: "● ", False: "  "}
        yield PickItem(_NONE, sign[self._current is None] + _("none"))
        if self._current is not None and named is None:
            yield PickItem("", sign[True] + _("one of its own"), self._current)
        for name in self._prompts.names():
            try:
                yield PickItem(name, sign[name == named] + name, self._prompts.read(name)[:200])
            except UsageError as e:
                key = f"edit:{name}" if self._can_be_edited(name) else ""
                yield PickItem(key, sign[False] + name, str(e), bad=True)

    def _can_be_edited(self, name: str) -> bool:
        try:
            self._prompts.draft(name)
        except UsageError:
            return False
        return True

    def picked(self, key: str | None) -> None:
        """Choose; a name that is none yet is written."""
        if key is None and self.typed:
            self._write(self.typed)
        else:
            super().picked(key)

    def action_edit(self) -> None:
        """Edit what is marked, or what was typed."""
        if self.marked is not None and self.marked != _NONE:
            self._write(self.marked.removeprefix("edit:"))
        elif self.typed:
            self._write(self.typed)

    def _write(self, name: str) -> None:
        try:
            self._prompts.draft(name)
        except UsageError as e:
            self.say(str(e), bad=True)
            return
        self.dismiss(f"edit:{name}")


def wish(result: str) -> PromptChoice:
    """What the picker's result means."""
    if result == _NONE:
        return PromptChoice(None)
    return PromptChoice(result.removeprefix("edit:"), edit=result.startswith("edit:"))
