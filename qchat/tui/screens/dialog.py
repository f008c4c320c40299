"""What all screens over the conversation have in common."""

from typing import TypeVar

from textual.screen import ModalScreen

from ..whole_characters import keep_whole

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A screen over another one."""

    def __init__(self) -> None:
        super().__init__()
        keep_whole(self)
