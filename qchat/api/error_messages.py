"""The messages for failed requests: a sentence for each code in errors.py."""

from typing import Final

from ..errors import Code, Failure
from ..i18n import _, sentence_gap
from ..sanitize import one_line
from . import endpoint as endpoints
from .endpoint import Endpoint

_MAX_SERVER_MESSAGE: Final = 500  # characters of a server's message in an error
_LEAST_KEY: Final = 8  # characters: a shorter key may be a common word, such as "wrong"


def without_key(text: str, endpoint: Endpoint) -> str:
    """Mask the endpoint's key in `text`: some servers repeat the key they refuse.
    A short one stays, for it may be a word of the message."""
    key = endpoint.api_key
    if key is None or len(key.reveal()) < _LEAST_KEY:
        return text
    return text.replace(key.reveal(), str(key))


def explain_failure(failure: Failure, endpoint: Endpoint) -> str:
    """One or two sentences: which server failed how, and what to do."""
    return sentence_gap().join(filter(None, server_message(failure, endpoint)))


def server_message(failure: Failure, endpoint: Endpoint) -> tuple[str, str]:
    """Which server failed how, and what to do; the latter is "" if unknown."""
    message = one_line(without_key(failure.message, endpoint))[:_MAX_SERVER_MESSAGE].rstrip(".。")
    if failure.code is Code.UNREACHABLE and endpoint.proxy is not None:
        message += _(" (through the proxy of the environment)")
    what, advice = _SENTENCES.get(failure.code, (_("{url} answered: {message}."), ""))
    if failure.status not in (None, 401) and failure.code is Code.UNAUTHORIZED:
        what, advice = _("{url} refuses this: {message}."), ""  # another key may not help
    elif failure.code is Code.UNAUTHORIZED and endpoint.api_key is None:
        what = _("{url} wants a key: {message}.")
        advice = _("Put it in a variable and name that with --api-key-env.")
    return what.format(url=endpoint.base_url, message=message), advice


def no_server() -> str:
    """The message if no server is configured and none answers at the default address."""
    return _(
        "No server is configured and nothing answers at {url}. `qchat setup` finds or asks for "
        "one; or give --base-url (or set OPENAI_BASE_URL), or start one with the demo model: qchat "
        "serve demo --detach (`qchat batch --model demo` needs no server)."
    ).format(url=endpoints.LOCAL_URL)


_SENTENCES = {
    Code.UNAUTHORIZED: (
        _("{url} refused the key: {message}."),
        _("Put the right key in a variable and name it with --api-key-env."),
    ),
    Code.UNKNOWN_MODEL: (
        _("{url} does not have this model: {message}."),
        _("`qchat models` lists what it has."),
    ),
    Code.NOT_FOUND: (
        _("{url} does not know this path: {message}."),
        _("Check the address; most end in /v1."),
    ),
    Code.REDIRECTED: (_("{url}: {message}."), _("Give the address it redirects to.")),
    Code.RATE_LIMITED: (_("{url} asks to slow down: {message}."), _("Try again later.")),
    Code.OVERLOADED: (_("{url} is too busy: {message}."), _("Try again later.")),
    Code.SERVER_ERROR: (_("{url} failed: {message}."), _("Its log says why.")),
    Code.UNREACHABLE: (
        _("{url} can't be reached: {message}."),
        _("Check the address, and that the server runs."),
    ),
    Code.DISCONNECTED: (
        _("{url} broke off the answer: {message}."),
        _("If it recurs, see its log."),
    ),
    Code.NO_PROGRESS: (
        _("{url} went silent: {message}."),
        _("If it recurs, see its log."),
    ),
    Code.BAD_RESPONSE: (
        _("{url} sent something that is no answer: {message}."),
        _("Check that it is an OpenAI-style API."),
    ),
}
