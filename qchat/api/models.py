"""Which model is asked where a server offers one or several."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import EngineError, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from .client import Client

_LISTED = 20  # models named in an error


def server_model(client: "Client", way: str = "--model") -> str:
    """The server's model where it has one; `way` and errors as in `single_model`."""
    names = dict.fromkeys(str(model["id"]) for model in client.models())
    return single_model(list(names), client.endpoint.base_url, way)


def single_model(names: Sequence[str], url: str, way: str = "--model") -> str:
    """The one of the models that `url` offers; with several the person is asked to choose by `way`.

    Raises `UsageError`, or `EngineError` where there is none.
    """
    if len(names) == 1:
        return names[0]
    if not names:
        raise EngineError(_("{url} offers no models.").format(url=url))
    from ..sanitize import one_line

    shown = ", ".join(one_line(name) for name in names[:_LISTED])
    if len(names) > _LISTED:
        shown += ", …"
    raise UsageError(
        _("{url} offers several models; choose one with {way}: {names}").format(
            url=url, way=way, names=shown
        )
    )
