"""The content of a message that is more than a text."""

from collections.abc import Sequence

from .json_types import JsonObject


def content_parts(text: str, pictures: Sequence[str]) -> list[JsonObject]:
    """A message's content as parts: the text, then the pictures by their URLs."""
    images = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return [{"type": "text", "text": text}, *images]
