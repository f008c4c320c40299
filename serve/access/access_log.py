"""The lines of uvicorn's access log: with the name of the key's owner, without any key.

uvicorn writes a line while a response starts, in the context of the request's task.
"""

import contextvars
import logging
import re

from ...api.priority import LIVE_RUNNING
from ...sanitize import one_line

_LOGGER = "uvicorn.access"
_LOOK = f"={LIVE_RUNNING}"
# Two plain patterns: one for all of it takes time that grows with the square of a hostile path.
_PARAMETER = re.compile(r"([?&;])([^?&;=#\s]*)=[^&;#\s]*")
_SECRET = re.compile(r"(?i)key|token|secret|password|authorization")
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
    return _PARAMETER.sub(_masked, path) if "=" in path else path


def _masked(match: "re.Match[str]") -> str:
    return f"{match[1]}{match[2]}=***" if _SECRET.search(match[2]) else match[0]
