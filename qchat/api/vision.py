"""Whether a model reads pictures, as vLLM knows it before anything is generated."""

from typing import Final

from ..content_parts import content_parts
from ..json_types import JsonObject
from .client import Client, ServerError
from .endpoint import Endpoint
from .models import server_model

_SECONDS: Final = 10.0
_DOT: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6"
    "kgAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""


def reads_pictures(endpoint: Endpoint, model: str | None) -> bool | None:
    """Ask a server to tokenize a message with a picture: it refuses where the model reads none.

    None where the server does not say, as one that is not vLLM.
    """
    try:
        with Client(endpoint, silence=_SECONDS) as client:
            body: JsonObject = {
                "model": model or endpoint.model or server_model(client, "/model"),
                "messages": [{"role": "user", "content": content_parts("x", [_DOT])}],
            }
            client.tokenize(body)
    except ServerError as e:
        text = str(e).lower()
        refused = "multimodal" in text or "multi-modal" in text or "image" in text
        return False if refused else None
    return True
