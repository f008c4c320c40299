"""What a conversation tells the window, as messages of Textual."""

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint


class RequestStarted(Message):
    """A request for an answer was sent."""


class AnswerCompleted(Message):
    """An answer was received in full, from this model of this server."""

    def __init__(self, conversation: str, endpoint: "Endpoint", model: str | None) -> None:
        super().__init__()
        self.conversation = conversation
        self.endpoint = endpoint
        self.model = model


class AnswerEnded(Message):
    """An answer was received in full or failed, in the conversation with this title."""

    def __init__(self, title: str, *, failed: bool) -> None:
        super().__init__()
        self.title = title
        self.failed = failed
