"""The lines of uvicorn's access log: with the name of the key's owner, without any key.

uvicorn writes a line while a response starts, in the context of the request's task.
"""

import contextvars
import logging
import re
from urllib.parse import unquote

from ...api.priority import LIVE_RUNNING
from ...sanitize import one_line

_LOGGER = "uvicorn.access"
_LOOK = f"={LIVE_RUNNING}"
_FIELD = re.compile(r"[^&]+")
_SECRET = re.compile(r"(?i)key|token|secret|pass|auth|bearer|credential|signature")
_owner: contextvars.ContextVar[str] = contextvars.ContextVar("qchat_owner", default="")


def install() -> None:
    """Let the access log of this process name owners and hide keys."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(each, AccessLogFilter) for each in logger.filters):
        logger.addFilter(AccessLogFilter())


def set_owner(name: str) -> None:
    """Name the owner of the key of the present request, "" for none: requests of one connection
    may share a context."""
    _owner.set(name)


class AccessLogFilter(logging.Filter):
    """Changes uvicorn's records (client, method, path, version, status).

    All are kept but those of a polite batch's looks for live requests, ten a second.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the owner behind the client's address, and mask keys in the query."""
        arguments = record.args
        if isinstance(arguments, tuple) and len(arguments) == 5:
            client, method, path, version, status = arguments
            owner = _owner.get()
            if owner:
                client = f"{client} [{one_line(owner)}]"
            record.args = (client, method, mask(str(path)), version, status)
            return not (status == 200 and str(path).startswith("/metrics?") and _LOOK in str(path))
        return True


def mask(path: str) -> str:
    """Return a path without the values of parameters that look like secrets."""
    path, mark, query = path.partition("?")
    return path + mark + _FIELD.sub(_masked, query)


def _masked(match: "re.Match[str]") -> str:
    """Return one field of a query without its secret. Some servers separate parameters by ``;``,
    which a key may contain, too: what follows a secret up to the next ``&`` counts as a part of
    it."""
    field = match[0]
    place = 0
    for parameter in field.split(";"):
        name, equals, _value = parameter.partition("=")
        if equals and _SECRET.search(unquote(name)):
            return f"{field[:place]}{name}=***"
        place += len(parameter) + 1
    return field
