"""The head of an HTTP request: its bounds, and what is answered beyond them.

The same whether vLLM's server reads it or the doorkeeper of a server that sleeps. A client that
sends nothing at all is not answered.
"""

from .denials import CLOSE, Denial

TIMEOUT = 15.0
"""Seconds from the opening of a connection, or the first byte of a later request, to the end of
the request's head."""
MAX_BYTES = 64 << 10

TOO_LARGE = Denial(
    431, "headers_too_large", f"The head is larger than {MAX_BYTES} bytes.", (CLOSE,)
)
TOO_SLOW = Denial(408, "request_timeout", "The request's head did not arrive in time.", (CLOSE,))
INVALID = Denial(400, "invalid_request", "This is not a valid HTTP request.", (CLOSE,))
