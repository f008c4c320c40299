"""What the conversation that is shown is asked with, and what those begin with that are new."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...errors import UsageError
from ...i18n import _
from ..launch import LaunchOptions
from ..request_settings import MissingServer, RequestSettings, endpoint_named

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint
    from ..app import ChatApp
    from .repository import LoadedConversation

NEAR: Final = 0.85
"""The share of the model's limit from which on it is near."""


class ActiveSettings:
    """`using` holds for the next question.

    `context` counts the tokens of the last question, of all before it, and of its answer; None
    where no server has told.
    """

    def __init__(self, app: "ChatApp", start: LaunchOptions) -> None:
        self._app = app
        self._defaults = start.defaults()
        self.using = self._fresh = self._unbegun = RequestSettings.new(self._defaults)
        self.context: int | None = None

    def take_up(self, loaded: "LoadedConversation", *, first: bool) -> None:
        """This conversation is shown now; with `first` the command line counts more than it."""
        from ..answer_stats import tokens_of

        self.using = self._used_by(loaded, first)
        counts = (tokens_of(stored.usage) for stored in reversed(loaded.messages))
        self.context = next(filter(None, counts), None)
        self._app.probe.moved()

    def _used_by(self, loaded: "LoadedConversation", first: bool) -> RequestSettings:
        record = loaded.record
        if record is None:
            return self._unbegun
        server = record.server or _last_server(loaded)
        try:
            endpoint = endpoint_named(self._defaults, server)
        except UsageError as e:
            text = _("The server of this conversation can't be asked: {why} {key} chooses one.")
            why = str(e).removeprefix("--server: ")
            trouble = text.format(why=why, key=self._app.keymap.shown("model"))
            endpoint = MissingServer("", name=server, trouble=trouble)
        using = RequestSettings.of(self._defaults, record, endpoint, first=first)
        if isinstance(using.endpoint, MissingServer):
            self._app.say(using.endpoint.trouble, error=True, seconds=10)
        return using

    def use(self, using: RequestSettings) -> None:
        """Ask with this from now on; it is kept with the conversation."""
        self.using = using
        self._app.probe.moved()
        self._app.changed()
        conversation = self._app.conversation
        if conversation.key is None:
            self._unbegun = using  # it is there again, as the draft is, when one comes back
        else:
            self._app.follow(conversation.keeper.use(conversation.key, using))

    def begun(self, asked: RequestSettings) -> None:
        """The conversation that is shown has begun, and was stored with this."""
        self._unbegun = self._fresh
        if self.using != asked:  # it was changed meanwhile
            self.use(self.using)

    def prefer(self, endpoint: "Endpoint", model: str | None) -> None:
        """Ask this model of this server, and in the conversations that begin in this window."""
        self._remember(endpoint)
        self._fresh = replace(self._fresh, endpoint=endpoint, model=model)
        self._unbegun = replace(self._unbegun, endpoint=endpoint, model=model)
        self.use(replace(self.using, endpoint=endpoint, model=model))

    def found(self, before: "Endpoint", endpoint: "Endpoint") -> None:
        """A server's key has been found, or the server itself: it is asked so wherever it was asked
        as `before`."""
        self._remember(endpoint)
        if self._fresh.endpoint == before:
            self._fresh = replace(self._fresh, endpoint=endpoint)
        if self._unbegun.endpoint == before:
            self._unbegun = replace(self._unbegun, endpoint=endpoint)
        if self.using.endpoint == before:
            self.using = replace(self.using, endpoint=endpoint)
        self._app.probe.moved()

    def _remember(self, endpoint: "Endpoint") -> None:
        if endpoint.name is None:  # those with a name are configured
            used = {**self._defaults.used, endpoint.base_url: endpoint}
            self._defaults = self._defaults._replace(used=used)

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


def _last_server(loaded: "LoadedConversation") -> str | None:
    """The server of the last answer; what was imported may have none."""
    found = (stored.used.get("server") for stored in reversed(loaded.messages))
    return next((server for server in found if server and isinstance(server, str)), None)
