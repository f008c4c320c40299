"""How a chat begins: the options of the command line, and the welcome text."""

from typing import TYPE_CHECKING, NamedTuple

from ..api import endpoint as endpoints
from ..i18n import _
from ..sampling import Sampling
from ..settings import Settings, TuiSettings
from .request_settings import DefaultSettings

if TYPE_CHECKING:
    from .servers.prober import ProbeResult


class LaunchOptions(NamedTuple):
    """The options of the command line; `go_on` opens the last conversation.

    `sampling` are its sampling options, without the configuration's preset; `chosen`: it names the
    server. `prompt` is the configured system prompt of new conversations.
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
    result: "ProbeResult",
    activity: str,
    *,
    start_key: str,
    help_key: str,
    model_key: str,
) -> str:
    """The text of an empty conversation: how to begin, or how to get a server.

    `activity` is something in progress, shown alone. `start_key` opens the list of servers to
    start, `model_key` that of servers and models.
    """
    if activity:
        return activity
    if result.seconds is not None and not result.error_message:
        return _("Write below and press Enter. {key} shows the keys.").format(key=help_key)
    if endpoint.origin == "default":
        text = _("No server is configured and nothing answers at {url}.")
        text = text.format(url=endpoint.base_url)
    else:
        text = result.error_message
    if result.locked:
        asking = _("{key} opens the list of servers, where a key can be typed.")
        return f"{text}\n\n{asking.format(key=model_key)}"
    offer = _("{key} starts a server on this machine, or finds another one.").format(key=start_key)
    writing = _("You can write meanwhile; qchat notices when a server becomes reachable.")
    return f"{text}\n\n{offer}\n\n{writing}"
