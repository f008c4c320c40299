"""What handlers of both kinds share: who asks, pages of a list, and JSON bodies."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from ...sanitize import one_line
from .api_errors import ApiError, invalid
from .objects import StoredBatch, StoredFile
from .store import Page


def owner_of(request: web.Request) -> str:
    """Return whose files and batches a request is about."""
    return str(request["owner"])


def page_of(request: web.Request, default: int, most: int) -> Page:
    """Return the page that the query asks for. Raises `ApiError`."""
    text = request.query.get("limit", str(default))
    if not (re.fullmatch("[0-9]{1,9}", text, re.ASCII) and 1 <= int(text) <= most):
        raise invalid(f"'limit' must be a number between 1 and {most}.", "limit")
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("'order' must be 'asc' or 'desc'.", "order")
    after = request.query.get("after") or None
    return Page(int(text), after, order == "asc")


def list_answer(
    page: Page, items: tuple[Sequence[StoredFile] | Sequence[StoredBatch], bool] | None
) -> web.Response:
    """Return a list in OpenAI's form. Raises `ApiError` where the page begins nowhere."""
    if items is None:
        raise invalid(f"'after': there is no {one_line(page.after or '')!r}.", "after", "not_found")
    data = [item.as_json() for item in items[0]]
    return json_answer(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": items[1],
        }
    )


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request. Raises `ApiError`."""
    try:
        value = orjson.loads(await request.read())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.", None, "invalid_json")
    return value


def json_answer(value: object, status: int = 200) -> web.Response:
    """Return an answer with JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def error_answer(error: ApiError) -> web.Response:
    """Return the answer that an error is."""
    answer = json_answer(error.body(), error.status)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer
