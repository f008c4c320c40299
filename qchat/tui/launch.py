"""How a chat begins: what the command line said, and what an empty screen says."""

from typing import TYPE_CHECKING, NamedTuple

from ..api import endpoint as wire
from ..i18n import _
from ..sampling import Sampling
from ..settings import Settings, TuiSettings
from .request_settings import DefaultSettings

if TYPE_CHECKING:
    from .server_list import ProbeResult


class LaunchOptions(NamedTuple):
    """What the command line said; `go_on` asks for the last conversation.

    `sampling` is what its options say, without the configuration's preset; `chosen` whether it
    named the server. `prompt` is the system prompt of new conversations where it says none.
    """

    endpoint: wire.Endpoint
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
        """What conversations begin with."""
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
    endpoint: wire.Endpoint, look: "ProbeResult", doing: str, *, start_key: str, help_key: str
) -> str:
    """The words on an empty screen: how to begin, or how to get a server.

    `doing` is what goes on already, `start_key` opens the offers.
    """
    if doing:
        return doing
    if look.seconds is not None and not look.trouble:
        return _("Write below and press Enter. {key} shows the keys.").format(key=help_key)
    if endpoint.origin == "default":
        text = _("No server is configured and nothing answers at {url}.")
        text = text.format(url=endpoint.base_url)
    else:
        text = look.trouble
    offer = _("{key} starts a server on this machine, or finds another one.").format(key=start_key)
    writing = _("You can write meanwhile; it is noticed when a server comes.")
    return f"{text}\n\n{offer}\n\n{writing}"
