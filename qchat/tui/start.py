"""How a chat begins: what the command line said, and what an empty screen says."""

from dataclasses import dataclass, field

from .. import wire
from ..explain import no_server
from ..i18n import _
from ..sampling import Sampling
from ..settings import Tui


@dataclass(frozen=True, slots=True)
class Start:
    """What the command line said; `go_on` asks for the last conversation."""

    endpoint: wire.Endpoint
    model: str | None
    sampling: Sampling
    system: str | None
    go_on: bool
    question: str
    tui: Tui = field(default_factory=Tui)


def welcome(endpoint: wire.Endpoint, *, reachable: bool, help_key: str) -> str:
    """The words on an empty screen: how to begin, or how to get a server."""
    if reachable:
        return _("Write below and press Enter. {key} shows the keys.").format(key=help_key)
    if endpoint.origin == "default":
        text = no_server()
    else:
        text = _("Nothing answers at {url}. Check the address, and that the server runs.")
        text = text.format(url=endpoint.base_url)
    return f"{text}\n\n" + _("You can write meanwhile; it is noticed when a server comes.")
