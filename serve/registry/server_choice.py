"""The registry for the commands on running servers, and the server that one without NAME means."""

from ...errors import UsageError
from ...i18n import _
from ...settings import Paths
from .records import ServerRegistry


def open_registry() -> ServerRegistry:
    """Return the registry of this user's servers, without what killed supervisors left."""
    registry = ServerRegistry(Paths.find())
    registry.sweep()
    return registry


def only_server(registry: ServerRegistry) -> str:
    """Return the name of the only server. Raises `UsageError` where there is none, or several."""
    names = [record.name for record in registry.all()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(_("No server is running; give the NAME of one that has a log."))
    text = _("Several servers are running; give the NAME of one: {names}")
    raise UsageError(text.format(names=", ".join(names)))
