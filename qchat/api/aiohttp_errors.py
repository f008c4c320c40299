"""Failures from exceptions of aiohttp, for batch and bench; `client.failure_of` is for the SDK's.

Importing this module imports aiohttp: only commands that send requests with it do.
"""

import os

import aiohttp

from ..errors import Code, Failure
from ..i18n import _


def failure_from_exception(error: Exception) -> Failure:
    """Why a request failed, in the system's words; `explain_failure` makes a sentence of it."""
    if isinstance(error, aiohttp.ClientHttpProxyError):  # its text shows the proxy's password
        text = _("the proxy answered {status} {reason}")
        return Failure(Code.UNREACHABLE, text.format(status=error.status, reason=error.message))
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure(Code.UNREACHABLE, _("its certificate is not trusted"))
    if isinstance(error, aiohttp.ClientConnectorError):
        # asyncio puts "Connect call failed ('127.0.0.1', 9)" in place of the system's message.
        number = error.os_error.errno or 0
        reason = _(os.strerror(number) if number > 0 else error.os_error.strerror)
        return Failure(Code.UNREACHABLE, reason or str(error.os_error))
    if isinstance(error, aiohttp.ConnectionTimeoutError | TimeoutError):
        return Failure(Code.UNREACHABLE, _("no connection in time"))
    if isinstance(error, aiohttp.ClientPayloadError):  # its text is about HTTP's encodings
        return Failure(Code.DISCONNECTED, _("the connection broke in the middle of the answer"))
    return Failure(Code.DISCONNECTED, str(error) or type(error).__name__)
