"""Whether the server answers: looked at in a thread, again and again until it does."""

import asyncio
from typing import TYPE_CHECKING

from .. import wire
from ..i18n import _

if TYPE_CHECKING:
    from .app import ChatApp


class Probe:
    """`reachable` is None until the first answer or the first failure."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self.reachable: bool | None = None
        self._looking = False

    async def look(self) -> None:
        """Look now."""
        if self._looking:
            return
        self._looking = True
        try:
            found = await asyncio.to_thread(wire.answers, self._app.conversation.endpoint)
        finally:
            self._looking = False
        before, self.reachable = self.reachable, found
        if before != found:
            if found and before is False:
                self._app.say(_("The server answers now."))
            self._app.changed()

    def again(self) -> None:
        """Look, where the last look found nobody."""
        if not self.reachable:
            self._app.spawn(self.look())
