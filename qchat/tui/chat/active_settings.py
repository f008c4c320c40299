"""The settings of the conversation that is shown, and those with which new ones begin."""

from typing import TYPE_CHECKING, Final

from ...api.endpoint import Endpoint
from ...errors import UsageError
from ...i18n import _
from ..actions.keymap import Keymap
from ..launch import LaunchOptions
from ..request_settings import RequestSettings, endpoint_named
from ..servers.monitor import ServerMonitor
from ..window import StateChanged, Window

if TYPE_CHECKING:
    from .repository import ConversationRepository, LoadedConversation

CONTEXT_WARNING_SHARE: Final = 0.85
"""The share of the model's context length from which a warning is shown."""


class ActiveSettings:
    """`current` holds for the next request.

    `used_tokens` counts the tokens of the last question, of all before it, and of its answer; None
    where no server reported it.
    """

    def __init__(
        self, window: Window, keymap: Keymap, monitor: ServerMonitor, start: LaunchOptions
    ) -> None:
        self._window = window
        self._keymap = keymap
        self._monitor = monitor
        self._defaults = start.defaults()
        self.current = self._initial = self._unsaved = RequestSettings.new(self._defaults)
        self.used_tokens: int | None = None
        self._conversation: str | None = None
        self._repository: ConversationRepository | None = None

    @property
    def context_limit(self) -> int | None:
        """The context length of the current model in tokens, where the server reports it."""
        return self._monitor.context_limit(self.current.model)

    @property
    def configured_prompt(self) -> str | None:
        """The configured system prompt, where no other one takes its place in new conversations."""
        return None if self._defaults.system else self._defaults.prompt

    def load(
        self, repository: "ConversationRepository", loaded: "LoadedConversation", *, first: bool
    ) -> None:
        """Use the settings of the conversation that is shown now.

        `first`: the command line takes precedence over them.
        """
        from ..transcript.answer_stats import total_tokens

        self._repository = repository
        self._conversation = None if loaded.record is None else loaded.record.id
        self.current = self._settings_of(loaded, first)
        counts = (total_tokens(stored.usage) for stored in reversed(loaded.messages))
        self.used_tokens = next(filter(None, counts), None)
        self._monitor.set_endpoint(self.current.endpoint)

    def _settings_of(self, loaded: "LoadedConversation", first: bool) -> RequestSettings:
        record = loaded.record
        if record is None:
            return self._unsaved
        server = record.server or _last_server(loaded)
        try:
            endpoint = endpoint_named(self._defaults, server)
        except UsageError as e:
            text = _("The server of this conversation can't be used: {why} {key} selects another.")
            why = str(e).removeprefix("--server: ")
            message = text.format(why=why, key=self._keymap.shown("model"))
            endpoint = Endpoint("", name=server, unusable=message)
        settings = RequestSettings.of(self._defaults, record, endpoint, first=first)
        if settings.endpoint.unusable:
            self._window.say(settings.endpoint.unusable, error=True, seconds=10)
        return settings

    def apply(self, settings: RequestSettings) -> None:
        """Use these from now on, and save them with the conversation."""
        self.current = settings
        self._monitor.set_endpoint(settings.endpoint)
        self._window.post_message(StateChanged())
        if self._conversation is None:
            self._unsaved = settings  # shown again, as the draft is, with the new conversation
        else:
            assert self._repository is not None
            self._window.follow(self._repository.save_settings(self._conversation, settings))

    def conversation_created(self, conversation: str, stored: RequestSettings) -> None:
        """The conversation that is shown was created with the settings `stored`."""
        self._conversation = conversation
        self._unsaved = self._initial
        if self.current != stored:  # changed in the meantime
            self.apply(self.current)

    def set_server(self, endpoint: "Endpoint", model: str | None) -> None:
        """Use this server and model here and in new conversations of this window."""
        self._remember(endpoint)
        self._initial = self._initial._replace(endpoint=endpoint, model=model)
        self._unsaved = self._unsaved._replace(endpoint=endpoint, model=model)
        self.apply(self.current._replace(endpoint=endpoint, model=model))

    def replace_endpoint(self, before: "Endpoint", endpoint: "Endpoint") -> None:
        """Use `endpoint` wherever `before` is used: the server itself or its key was detected."""
        self._remember(endpoint)
        if self._initial.endpoint == before:
            self._initial = self._initial._replace(endpoint=endpoint)
        if self._unsaved.endpoint == before:
            self._unsaved = self._unsaved._replace(endpoint=endpoint)
        if self.current.endpoint == before:
            self.current = self.current._replace(endpoint=endpoint)
        self._monitor.set_endpoint(self.current.endpoint)

    def _remember(self, endpoint: "Endpoint") -> None:
        if endpoint.name is None:  # those with a name are configured
            detected = {**self._defaults.detected, endpoint.base_url: endpoint}
            self._defaults = self._defaults._replace(detected=detected)

    def update_usage(self, tokens: int | None) -> None:
        """Count an answer's tokens; warn when they come near the context length."""
        before, self.used_tokens = self.used_tokens or 0, tokens or self.used_tokens
        limit = self.context_limit
        if limit is not None and before < CONTEXT_WARNING_SHARE * limit <= (self.used_tokens or 0):
            text = _(
                "{n:,} of the model's {limit:,} tokens are used. Requests beyond that are refused; "
                "{key} begins a new conversation."
            )
            key = self._keymap.shown("new")
            self._window.say(text.format(n=self.used_tokens, limit=limit, key=key), seconds=10)


def _last_server(loaded: "LoadedConversation") -> str | None:
    """The server of the last answer; imported conversations may have none."""
    servers = (stored.used.get("server") for stored in reversed(loaded.messages))
    return next((server for server in servers if server and isinstance(server, str)), None)
