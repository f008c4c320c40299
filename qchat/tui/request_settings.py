"""The settings of the next request of a conversation, and where each value comes from."""

import enum
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import parameters
from ..api import endpoint as endpoints
from ..api.endpoint import Endpoint
from ..i18n import _
from ..json_types import JsonObject
from ..sampling import Sampling
from ..settings import Settings

if TYPE_CHECKING:
    from ..store import StoredConversation

_TEMPLATE = "chat_template_kwargs"


class Origin(enum.Enum):
    """Where a value comes from, in the order of precedence."""

    CONVERSATION = "conversation"
    COMMAND = "command line"
    PRESET = "preset"
    CONFIG = "config"
    SERVER = "server"


class DefaultSettings(NamedTuple):
    """The settings of new conversations, from the command line and the configuration.

    `options` are the sampling options of the command line; `preset` and `prompt`, a system prompt,
    are the configuration's.
    `chosen`: the command line names the server; it then takes precedence over that of the
    conversation that is opened first, as do `model`, `system` and `options`.
    `detected` are servers that were detected in this window, by address; they may have an API key.
    """

    endpoint: Endpoint
    model: str | None = None
    system: str | None = None
    options: Sampling = Sampling()
    preset: str | None = None
    prompt: str | None = None
    chosen: bool = False
    settings: Settings | None = None
    detected: Mapping[str, Endpoint] = MappingProxyType({})


class RequestSettings(NamedTuple):
    """Server, model, system prompt and sampling of a conversation.

    `own` holds the values set for it; `plain`: it uses no preset, whatever is configured. `model`
    None is the server's only one.
    """

    defaults: DefaultSettings
    endpoint: Endpoint
    model: str | None
    system: str | None
    own: Sampling
    plain: bool = False

    @classmethod
    def new(cls, defaults: DefaultSettings) -> "RequestSettings":
        """The settings of a new conversation."""
        return cls(
            defaults,
            defaults.endpoint,
            defaults.model or defaults.endpoint.model,
            defaults.system or defaults.prompt,
            defaults.options,
        )

    @classmethod
    def of(
        cls,
        defaults: DefaultSettings,
        record: "StoredConversation",
        endpoint: Endpoint,
        *,
        first: bool,
    ) -> "RequestSettings":
        """The stored settings of a conversation; `first`: the command line takes precedence."""
        settings = cls(
            defaults,
            endpoint,
            record.model,
            record.system,
            parameters.from_json(record.settings),
            "preset" in record.settings and record.settings["preset"] is None,
        )
        if not first:
            return settings
        if defaults.chosen:
            settings = settings._replace(endpoint=defaults.endpoint, model=defaults.endpoint.model)
        return settings._replace(
            model=defaults.model or settings.model,
            system=defaults.system or settings.system,
            own=defaults.options.merged_over(settings.own),
        )

    @property
    def preset(self) -> str | None:
        """The preset, for parameters without a value of their own."""
        return self.own.preset or (None if self.plain else self.defaults.preset)

    @property
    def sampling(self) -> Sampling:
        """The sampling parameters of a request."""
        return replace(self.own, preset=self.preset)

    @property
    def server(self) -> str:
        """The server as stored: its name, or its address where it has none."""
        return self.endpoint.name or self.endpoint.base_url

    def settings(self) -> JsonObject:
        """The sampling parameters as stored."""
        values = parameters.to_json(self.own)
        return {**values, "preset": None} if self.plain else values

    def value(self, name: str) -> tuple[Any, Origin]:
        """A parameter (or ``preset``) of the next request, None for the server's default."""
        if name == "preset":
            return self._preset()
        if (value := _extra_value(self.own.extra, name)) is not None:
            return value, Origin.COMMAND
        value = getattr(self.own, name)
        if value is not None:
            option = getattr(self.defaults.options, name)
            return value, Origin.COMMAND if value == option else Origin.CONVERSATION
        thinks = None if name == "thinking" else self.value("thinking")[0]
        value = getattr(Sampling(preset=self.preset).effective(thinks=thinks), name)
        return value, Origin.SERVER if value is None else Origin.PRESET

    def _preset(self) -> tuple[str | None, Origin]:
        if self.own.preset is not None:
            same = self.own.preset == self.defaults.options.preset
            return self.own.preset, Origin.COMMAND if same else Origin.CONVERSATION
        if self.plain:
            return None, Origin.CONVERSATION
        return self.defaults.preset, Origin.CONFIG if self.defaults.preset else Origin.SERVER

    def with_value(self, name: str, value: Any) -> "RequestSettings":
        """With another value; None resets it. Raises `UsageError` for an invalid one."""
        extra = _without(self.own.extra, name)
        return self._replace(own=replace(self.own, extra=extra, **{name: value}))

    def with_preset(self, name: str | None) -> "RequestSettings":
        """With another preset; None is none at all. Raises `UsageError` for an unknown one."""
        return self._replace(own=replace(self.own, preset=name), plain=name is None)

    def without_preset(self) -> "RequestSettings":
        """Back to the configuration's preset, if it has one."""
        return self._replace(own=replace(self.own, preset=None), plain=False)

    def with_text(self, name: str, text: str) -> "RequestSettings":
        """With a value parsed from text. Raises `UsageError`."""
        if name != "preset":
            return self.with_value(name, parameters.parse(name, text))
        preset = text.strip()
        if preset in ("", "default"):
            return self.without_preset()
        return self.with_preset(None if preset == "none" else preset)

    def reset(self) -> "RequestSettings":
        """Without values of its own."""
        return self._replace(own=Sampling(), plain=False)

    def request_parameters(self) -> JsonObject:
        """The parameters of the next request, as stored with the answer."""
        body = self.sampling.fill({"messages": []})
        del body["messages"]
        return body


def endpoint_named(defaults: DefaultSettings, server: str | None) -> Endpoint:
    """The server with this stored name or address; None, of an empty conversation, is the default.

    Raises `UsageError`.
    """
    current = defaults.endpoint
    if server is None or server in (current.name, current.base_url):
        return current if current.name else defaults.detected.get(current.base_url, current)
    if server in defaults.detected:
        return defaults.detected[server]
    if defaults.settings is None:
        return Endpoint(endpoints.normalise(server, _("The server of this conversation")))
    if server == endpoints.LOCAL_URL:
        return endpoints.local_endpoint(defaults.settings)
    if "://" in server:
        endpoint = endpoints.resolve(defaults.settings, base_url=server)
    else:
        endpoint = endpoints.resolve(defaults.settings, server=server)
    assert endpoint is not None
    return endpoint


def _extra_value(extra: Mapping[str, Any], name: str) -> Any:
    if name != "thinking":
        value = extra.get(name)
        return tuple(value) if name == "stop" and isinstance(value, list) else value
    template = extra.get(_TEMPLATE)
    return template.get("enable_thinking") if isinstance(template, Mapping) else None


def _without(extra: Mapping[str, Any], name: str) -> JsonObject:
    rest = {key: value for key, value in extra.items() if key != name}
    template = rest.get(_TEMPLATE)
    if name == "thinking" and isinstance(template, Mapping):
        rest[_TEMPLATE] = {k: v for k, v in template.items() if k != "enable_thinking"}
    return rest
