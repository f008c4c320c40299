"""The choice of a model if the user names none."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import EngineError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from .client import Client

_LISTED = 20  # models listed in an error


def server_model(client: "Client", option: str = "--model") -> str:
    """The only model of a server; `option` and errors as in `single_model`."""
    names = dict.fromkeys(str(model["id"]) for model in client.models())
    return single_model(list(names), client.endpoint.base_url, option)


def single_model(names: Sequence[str], url: str, option: str = "--model") -> str:
    """The only one of the models that `url` offers.

    Raises `UsageError` for several, which tells the user to choose with `option`, and `EngineError`
    for none.
    """
    if len(names) == 1:
        return names[0]
    if not names:
        raise EngineError(_("{url} offers no models.").format(url=url))
    from ..sanitize import one_line

    listing = ", ".join(one_line(name) for name in names[:_LISTED])
    if len(names) > _LISTED:
        listing += ", …"
    raise UsageError(
        _("{url} offers several models; choose one with {option}: {names}").format(
            url=url, option=option, names=listing
        )
    )
