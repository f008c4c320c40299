"""What the next question of a conversation is asked with, and who said so."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import parameters
from ..api import endpoint as wire
from ..api.endpoint import Endpoint
from ..i18n import _
from ..json_types import JsonObject
from ..sampling import Sampling
from ..settings import Settings

if TYPE_CHECKING:
    from ..store import StoredConversation

_TEMPLATE = "chat_template_kwargs"


class Origin(enum.Enum):
    """Who says a value; the later ones count where the earlier say nothing."""

    CONVERSATION = "conversation"
    COMMAND = "command line"
    PRESET = "preset"
    CONFIG = "config"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class MissingServer(Endpoint):
    """A server that a conversation names and that can't be asked: it has no address.

    `trouble` says why, and what to do.
    """

    trouble: str = ""


class DefaultSettings(NamedTuple):
    """What a conversation begins with, from the command line and the configuration.

    `options` are the sampling options of the command line; `preset` and `prompt`, a system prompt,
    are the configuration's.
    `chosen` says that the command line named the server: it then counts for a conversation that
    has another one, as do `model`, `system` and `options` where they are said.
    `used` are servers that were found in this window, by address; they may have a key.
    """

    endpoint: Endpoint
    model: str | None = None
    system: str | None = None
    options: Sampling = Sampling()
    preset: str | None = None
    prompt: str | None = None
    chosen: bool = False
    settings: Settings | None = None
    used: Mapping[str, Endpoint] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Server, model, system prompt and sampling of a conversation.

    `own` is what is said for it; `plain` that it wants no preset, whatever the configuration says.
    `model` None is the server's only one.
    """

    defaults: DefaultSettings
    endpoint: Endpoint
    model: str | None
    system: str | None
    own: Sampling
    plain: bool = False

    @classmethod
    def new(cls, defaults: DefaultSettings) -> "RequestSettings":
        """For a conversation that begins."""
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
        """As a conversation of this server was left. With `first` what the command line says
        counts more."""
        found = cls(
            defaults,
            endpoint,
            record.model,
            record.system,
            parameters.from_json(record.settings),
            "preset" in record.settings and record.settings["preset"] is None,
        )
        if not first:
            return found
        if defaults.chosen:
            found = replace(found, endpoint=defaults.endpoint, model=defaults.endpoint.model)
        return replace(
            found,
            model=defaults.model or found.model,
            system=defaults.system or found.system,
            own=defaults.options.merged_over(found.own),
        )

    @property
    def preset(self) -> str | None:
        """The preset below the values that are said one by one."""
        return self.own.preset or (None if self.plain else self.defaults.preset)

    @property
    def sampling(self) -> Sampling:
        """For a request."""
        return replace(self.own, preset=self.preset)

    @property
    def server(self) -> str:
        """The server as the store keeps it: its name, or its address where it has none."""
        return self.endpoint.name or self.endpoint.base_url

    def settings(self) -> JsonObject:
        """The sampling as the store keeps it."""
        said = parameters.to_json(self.own)
        return {**said, "preset": None} if self.plain else said

    def value(self, name: str) -> tuple[Any, Origin]:
        """A parameter (or ``preset``) as the next request has it, None where the server decides."""
        if name == "preset":
            return self._preset()
        if (said := _extra(self.own.extra, name)) is not None:
            return said, Origin.COMMAND
        said = getattr(self.own, name)
        if said is not None:
            given = getattr(self.defaults.options, name)
            return said, Origin.COMMAND if said == given else Origin.CONVERSATION
        thinks = None if name == "thinking" else self.value("thinking")[0]
        said = getattr(Sampling(preset=self.preset).effective(thinks=thinks), name)
        return said, Origin.SERVER if said is None else Origin.PRESET

    def _preset(self) -> tuple[str | None, Origin]:
        if self.own.preset is not None:
            same = self.own.preset == self.defaults.options.preset
            return self.own.preset, Origin.COMMAND if same else Origin.CONVERSATION
        if self.plain:
            return None, Origin.CONVERSATION
        return self.defaults.preset, Origin.CONFIG if self.defaults.preset else Origin.SERVER

    def with_value(self, name: str, value: Any) -> "RequestSettings":
        """With another value; None takes back what was said. Raises `UsageError` for a bad one."""
        extra = _without(self.own.extra, name)
        return replace(self, own=replace(self.own, extra=extra, **{name: value}))

    def with_preset(self, name: str | None) -> "RequestSettings":
        """With another preset; None is none at all. Raises `UsageError` for an unknown one."""
        return replace(self, own=replace(self.own, preset=name), plain=name is None)

    def without_preset(self) -> "RequestSettings":
        """Back to the configuration's preset, if it has one."""
        return replace(self, own=replace(self.own, preset=None), plain=False)

    def with_text(self, name: str, text: str) -> "RequestSettings":
        """With a value that a person wrote. Raises `UsageError`."""
        if name != "preset":
            return self.with_value(name, parameters.parse(name, text))
        word = text.strip()
        if word in ("", "default"):
            return self.without_preset()
        return self.with_preset(None if word == "none" else word)

    def reset(self) -> "RequestSettings":
        """With nothing said for this conversation."""
        return replace(self, own=Sampling(), plain=False)

    def asked(self) -> JsonObject:
        """The parameters of the next request, as an answer keeps them."""
        body = self.sampling.fill({"messages": []})
        del body["messages"]
        return body


def endpoint_named(defaults: DefaultSettings, server: str | None) -> Endpoint:
    """The server that the store has by this name or address; None is a conversation that was never
    asked, and the window's own. Raises `UsageError`."""
    current = defaults.endpoint
    if server is None or server in (current.name, current.base_url):
        return current if current.name else defaults.used.get(current.base_url, current)
    if server in defaults.used:
        return defaults.used[server]
    if defaults.settings is None:
        return Endpoint(wire.normalise(server, _("The server of this conversation")))
    if server == wire.LOCAL_URL:
        return wire.local_endpoint(defaults.settings)
    if "://" in server:
        found = wire.resolve(defaults.settings, base_url=server)
    else:
        found = wire.resolve(defaults.settings, server=server)
    assert found is not None
    return found


def _extra(extra: Mapping[str, Any], name: str) -> Any:
    if name != "thinking":
        said = extra.get(name)
        return tuple(said) if name == "stop" and isinstance(said, list) else said
    template = extra.get(_TEMPLATE)
    return template.get("enable_thinking") if isinstance(template, Mapping) else None


def _without(extra: Mapping[str, Any], name: str) -> JsonObject:
    rest = {key: value for key, value in extra.items() if key != name}
    template = rest.get(_TEMPLATE)
    if name == "thinking" and isinstance(template, Mapping):
        rest[_TEMPLATE] = {k: v for k, v in template.items() if k != "enable_thinking"}
    return rest
