"""What the conversation that is shown is asked with, and what those begin with that are new."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..i18n import _
from .start import Start
from .using import Using

if TYPE_CHECKING:
    from ..store import Conversation as Record
    from ..wire import Endpoint
    from .app import ChatApp
    from .keeper import Loaded

NEAR: Final = 0.85
"""The share of the model's limit from which on it is near."""


class Current:
    """`using` holds for the next question.

    `context` counts the tokens of the last question, of all before it, and of its answer; None
    where no server has told.
    """

    def __init__(self, app: "ChatApp", start: Start) -> None:
        self._app = app
        self._defaults = start.defaults()
        self.using = self._fresh = self._unbegun = Using.new(self._defaults)
        self.context: int | None = None

    def take_up(self, loaded: "Loaded", *, first: bool) -> None:
        """This conversation is shown now; with `first` the command line counts more than it."""
        from .figures import tokens_of

        self.using = self._used_by(loaded.record, first)
        counts = (tokens_of(stored.usage) for stored in reversed(loaded.messages))
        self.context = next(filter(None, counts), None)
        self._app.probe.moved()

    def _used_by(self, record: "Record | None", first: bool) -> Using:
        if record is None:
            return self._unbegun
        try:
            return Using.of(self._defaults, record, first=first)
        except UsageError as e:
            self._app.say(str(e), error=True, seconds=10)
            return Using.of(self._defaults, replace(record, server=None), first=first)

    def use(self, using: Using) -> None:
        """Ask with this from now on; it is kept with the conversation."""
        self.using = using
        self._app.probe.moved()
        self._app.changed()
        conversation = self._app.conversation
        if conversation.key is None:
            self._unbegun = using  # it is there again, as the draft is, when one comes back
        else:
            self._app.follow(conversation.keeper.use(conversation.key, using))

    def begun(self, asked: Using) -> None:
        """The conversation that is shown has begun, and was stored with this."""
        self._unbegun = self._fresh
        if self.using != asked:  # it was changed meanwhile
            self.use(self.using)

    def prefer(self, endpoint: "Endpoint", model: str | None) -> None:
        """Ask this model of this server, and in the conversations that begin in this window."""
        self._fresh = replace(self._fresh, endpoint=endpoint, model=model)
        self._unbegun = replace(self._unbegun, endpoint=endpoint, model=model)
        self.use(replace(self.using, endpoint=endpoint, model=model))

    def filled(self, tokens: int | None) -> None:
        """So much of the context is used; it is said when it comes near the limit."""
        before, self.context = self.context or 0, tokens or self.context
        limit = self._app.probe.context
        if limit is not None and before < NEAR * limit <= (self.context or 0):
            text = _(
                "{n:,} of the model's {limit:,} tokens are used. What goes beyond them is refused; "
                "{key} begins a new conversation."
            )
            key = self._app.keymap.shown("new")
            self._app.say(text.format(n=self.context, limit=limit, key=key), seconds=10)
