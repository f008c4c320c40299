"""How a chat begins: the options of the command line, and the welcome text."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..api import endpoint as endpoints
from ..i18n import _, plural
from ..sampling import Sampling
from ..sanitize import one_line
from ..settings import Settings, TuiSettings
from .request_settings import DefaultSettings

if TYPE_CHECKING:
    from .servers.prober import ProbeResult


class LaunchOptions(NamedTuple):
    """The options of the command line; `go_on` opens the last conversation.

    `sampling` are its sampling options, without the configuration's preset; `chosen`: it names the
    server. `prompt` is the configured system prompt of new conversations. `pictures`:
    those of this machine can be attached, as not from the page of `--web`.
    """

    endpoint: endpoints.Endpoint
    model: str | None
    sampling: Sampling
    system: str | None
    go_on: bool
    question: str
    tui: TuiSettings = TuiSettings()
    chosen: bool = False
    settings: Settings | None = None
    prompt: str | None = None
    pictures: bool = True

    def defaults(self) -> DefaultSettings:
        """The settings of new conversations."""
        settings = self.settings
        return DefaultSettings(
            self.endpoint,
            self.model,
            self.system,
            self.sampling,
            preset=settings.preset if settings is not None else None,
            prompt=self.prompt,
            chosen=self.chosen,
            settings=settings,
        )


def welcome_text(
    endpoint: endpoints.Endpoint,
    result: "ProbeResult | None",
    activity: str,
    model: str | None,
    *,
    model_key: str,
) -> Sequence[str]:
    """The paragraphs of an empty conversation: which server answers, or that there is none.

    `activity` is something in progress, shown alone. `model` is the one that is chosen, `model_key`
    opens the list of servers and models.
    """
    if activity:
        return (activity,)
    name = one_line(endpoint.name or endpoint.base_url)
    if result is None:
        return (_("Looking for a server at {url} …").format(url=name),)
    if result.seconds is not None and not result.error_message:
        return (" · ".join(_server_facts(name, result, model)),)
    if endpoint.origin == "default":
        text = _("No server is configured and nothing answers at {url}.")
        text = text.format(url=endpoint.base_url)
    else:
        text = result.error_message
    if result.locked:
        asking = _("{key} opens the list of servers, where a key can be typed.")
        return (text, asking.format(key=model_key))
    writing = _("You can write meanwhile; qchat notices when a server becomes reachable.")
    return (text, writing)


def _server_facts(name: str, result: "ProbeResult", model: str | None) -> Iterator[str]:
    yield name
    names = [one_line(one.name) for one in result.models]
    chosen = one_line(model) if model else names[0] if len(names) == 1 else ""
    if chosen:
        yield chosen
        if limit := result.context(model):
            yield _("{n:,} tokens of context").format(n=limit)
    elif names:
        yield plural("{n} model", "{n} models", len(names)).format(n=len(names))
