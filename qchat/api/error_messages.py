"""What a person is told of a failed request: the words for the table in errors.py."""

from typing import Final

from ..errors import Code, Failure
from ..i18n import _
from ..sanitize import one_line
from . import endpoint as wire
from .endpoint import Endpoint

_SAID_MAX: Final = 500  # characters of a server's own words in an error
_LEAST_KEY: Final = 8  # characters: a shorter key is a word that anybody may say, such as "wrong"


def without_key(text: str, endpoint: Endpoint) -> str:
    """`text` with the endpoint's key masked: some servers repeat the key they refuse.
    One that is short stays, for it may be a word of the server's own."""
    key = endpoint.api_key
    if key is None or len(key.reveal()) < _LEAST_KEY:
        return text
    return text.replace(key.reveal(), str(key))


def explain_failure(failure: Failure, endpoint: Endpoint) -> str:
    """One or two sentences: what happened with which server, and what to do."""
    return " ".join(filter(None, server_message(failure, endpoint)))


def server_message(failure: Failure, endpoint: Endpoint) -> tuple[str, str]:
    """What happened with which server, and what to do; "" where nobody knows."""
    said = one_line(without_key(failure.message, endpoint))[:_SAID_MAX].rstrip(".")
    if failure.code is Code.UNREACHABLE and endpoint.proxy is not None:
        said += _(" (through the proxy of the environment)")
    what, advice = _SENTENCES.get(failure.code, (_("{url} answered: {said}."), ""))
    if failure.status not in (None, 401) and failure.code is Code.UNAUTHORIZED:
        what, advice = _("{url} refuses this: {said}."), ""  # another key may not help
    elif failure.code is Code.UNAUTHORIZED and endpoint.api_key is None:
        what = _("{url} wants a key: {said}.")
        advice = _("Put it in a variable and name that with --api-key-env.")
    return what.format(url=endpoint.base_url, said=said), advice


def no_server() -> str:
    """What to do where nothing is configured and nothing answers at the usual address."""
    return _(
        "No server is configured and nothing answers at {url}. Give --base-url or --server, or "
        "start one with the demo model: qchat serve demo --detach "
        "(`qchat batch --model demo` needs no server)."
    ).format(url=wire.LOCAL_URL)


_SENTENCES = {
    Code.UNAUTHORIZED: (
        _("{url} refused the key: {said}."),
        _("Put the right key in a variable and name it with --api-key-env."),
    ),
    Code.UNKNOWN_MODEL: (
        _("{url} does not have this model: {said}."),
        _("`qchat models` lists what it has."),
    ),
    Code.NOT_FOUND: (
        _("{url} does not know this path: {said}."),
        _("Check the address; most end in /v1."),
    ),
    Code.REDIRECTED: (_("{url}: {said}."), _("Give the address it redirects to.")),
    Code.RATE_LIMITED: (_("{url} asks to slow down: {said}."), _("Try again later.")),
    Code.OVERLOADED: (_("{url} is too busy: {said}."), _("Try again later.")),
    Code.SERVER_ERROR: (_("{url} failed: {said}."), _("Its log says why.")),
    Code.UNREACHABLE: (
        _("{url} can't be reached: {said}."),
        _("Check the address, and that the server runs."),
    ),
    Code.DISCONNECTED: (
        _("{url} broke off the answer: {said}."),
        _("If it recurs, see its log."),
    ),
    Code.NO_PROGRESS: (
        _("{url} went silent: {said}."),
        _("If it recurs, see its log."),
    ),
    Code.BAD_RESPONSE: (
        _("{url} sent something that is no answer: {said}."),
        _("Check that it is an OpenAI-style API."),
    ),
}
