"""The pictures of a question: read, and offered only to a model that reads them."""

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...i18n import _
from ..threads import run_in_daemon_thread

if TYPE_CHECKING:
    from pathlib import Path

    from ...api.endpoint import Endpoint
    from ..composer.chips import Draft


async def pictures_to_send(
    draft: "Draft", endpoint: "Endpoint", model: str | None
) -> tuple[str, ...]:
    """Return the pictures of a draft as data URLs.

    Raises `UsageError` where one can't be read, or where the server says that the model reads text
    only. A server that can't be asked that is sent the pictures.
    """
    from pathlib import Path

    from ..composer.pictures import MAX_PICTURES

    paths = list(dict.fromkeys(Path(chip.path) for chip in draft.chips if chip.is_picture))
    if not paths:
        return ()
    if len(paths) > MAX_PICTURES:
        text = _("A question can have {n} pictures at most.")
        raise UsageError(text.format(n=MAX_PICTURES))
    return await run_in_daemon_thread(lambda: _read(paths, endpoint, model))


def _read(paths: "list[Path]", endpoint: "Endpoint", model: str | None) -> tuple[str, ...]:
    from ...api.vision import reads_pictures
    from ..composer.pictures import picture_url

    pictures = tuple(picture_url(path) for path in paths)
    if reads_pictures(endpoint, model) is False:
        text = _(
            "{model} reads text only, so the picture was not sent. Choose a vision model with "
            "/model, or remove the picture."
        )
        raise UsageError(text.format(model=model or _("The model")))
    return pictures
