"""A chat request for tests of engines."""

from qchat.batch.request import CHAT, Request, RowKind


def chat_request(text: str) -> Request:
    """The row ``{"prompt": text}``, for the model ``demo``."""
    body = {"messages": [{"role": "user", "content": text}], "model": "demo"}
    return Request(0, 1, "id", RowKind.PROMPT, CHAT, body, {"prompt": text}, "d" * 32)
