"""Draws pictures of a message in half blocks, two pixels in a cell."""

import base64
import binascii
import io
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from rich.style import Style

from ...sanitize import one_line
from ..markdown import Line, Palette
from ..markdown.line import Span, make_line
from ..markdown.palette import NO_COLOR

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_CELLS: Final = 48
MAX_ROWS: Final = 14
_MAX_PIXELS: Final = 64_000_000  # a small file may unpack to gigabytes
_PREFIX: Final = "data:image/"


def picture_urls(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the URLs of the pictures of a stored message."""
    content = extra.get("content")
    urls = []
    for part in content if isinstance(content, list) else ():
        image = part.get("image_url") if isinstance(part, dict) else None
        url = image.get("url") if isinstance(image, dict) else None
        if isinstance(url, str):
            urls.append(url)
    return tuple(urls)


def picture_lines(url: str, width: int, palette: Palette) -> list[Line]:
    """Draw a picture of at most `width` cells above its caption.

    Only the caption is drawn without colours, without Pillow, and for what is no picture or on
    another host: nothing is fetched.
    """
    from ...console import format_size

    data = _data(url)
    if data is None:
        return [make_line([("▣ " + one_line(url[:80]), palette.dim)])]
    kind = one_line(url[len(_PREFIX) :].partition(";")[0][:8]).upper()
    caption = f"▣ {kind} · {format_size(len(data))}"
    drawn = None if palette is NO_COLOR else _drawn(data, max(1, min(MAX_CELLS, width)))
    if drawn is None:
        return [make_line([(caption, palette.dim)])]
    (columns, rows), lines = drawn
    caption = f"▣ {kind} {columns}×{rows} · {format_size(len(data))}"
    return [*lines, make_line([(caption, palette.dim)])]


def _data(url: str) -> bytes | None:
    if not url.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=32)
def _drawn(data: bytes, width: int) -> tuple[tuple[int, int], list[Line]] | None:
    """Return the size in pixels, and the lines; None where it can't be drawn."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            size = image.size
            if size[0] * size[1] > _MAX_PIXELS:
                return None
            image.draft("RGB", (2 * width, 4 * MAX_ROWS))  # a JPEG is then decoded small
            small = image.convert("RGBA")
            small.thumbnail((width, 2 * MAX_ROWS))
            return size, _lines(small)
    except Exception:  # decoders raise anything for damaged data
        return None


def _lines(image: "Image") -> list[Line]:
    columns, rows = image.size
    pixels = image.tobytes()  # four bytes for each pixel

    def color(x: int, y: int) -> str | None:
        if y >= rows:
            return None
        start = 4 * (y * columns + x)
        red, green, blue, opacity = pixels[start : start + 4]
        return f"#{red:02x}{green:02x}{blue:02x}" if opacity >= 128 else None

    lines = []
    for y in range(0, rows, 2):
        spans: list[Span] = []
        for x in range(columns):
            upper, lower = color(x, y), color(x, y + 1)
            if upper is None and lower is None:
                spans.append((" ", None))
            elif upper is None:
                spans.append(("▄", Style(color=lower)))
            else:
                spans.append(("▀", Style(color=upper, bgcolor=lower)))
        lines.append(make_line([], spans))
    return lines
