"""What Enter does with what was written."""

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..i18n import _
from .actions import slash

if TYPE_CHECKING:
    from .app import ChatApp


class Submission:
    """A command, a question, one for the queue, or a message that was changed."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self._unknown = ""

    def sent(self, text: str, typed: str) -> None:
        """Enter: `text` is all of it, `typed` what of it is in sight (see `Composer.Sent`)."""
        try:
            found = slash.parse(typed)
            if text != typed:  # it has chips, and a command takes no hidden text
                if isinstance(found, slash.SlashCommand):
                    raise UsageError(
                        _("A command takes no chip; write it out. Enter again sends it as it is.")
                    )
                found = text
        except UsageError as e:
            if self._unknown != text:
                self._unknown = text
                self._app.say(str(e), error=True, seconds=8)
                return
            found = text
        self._unknown = ""
        if isinstance(found, slash.SlashCommand):
            self._app.composer.take()
            self._app.perform(found.action, found.argument)
        elif self._app.talk.edits:
            if not self._app.still_coming():
                self._app.composer.take()
                self._app.spawn(self._app.talk.send(found))
        elif self._app.conversation.answering is not None:
            draft = self._app.composer.draft
            self._app.composer.take()
            self._app.conversation.queue(found, draft)
        elif not self._app.still_coming():
            draft = self._app.composer.draft
            self._app.composer.take()
            self._app.conversation.send(found, draft)
