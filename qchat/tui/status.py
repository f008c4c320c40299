"""The line at the bottom: the server, the model, thinking, the figures of the last answer."""

from textual.content import Content
from textual.widgets import Static

from ..i18n import _
from ..sanitize import one_line
from .conversation import Conversation


class Status(Static):
    """One line of text."""

    DEFAULT_CSS = """
    Status { height: 1; padding: 0 2; color: $text-muted; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)

    def show(self, conversation: Conversation, reachable: bool | None, stop_key: str) -> None:
        """Say how things are."""
        endpoint = conversation.endpoint
        sign = {None: "…", True: "●", False: "○"}[reachable]
        thinking = {None: "", True: _("thinking"), False: _("no thinking")}
        parts = [
            f"{sign} {endpoint.name or endpoint.base_url}",
            one_line(conversation.model or ""),
            thinking[conversation.sampling.thinking],
            conversation.figures,
        ]
        if conversation.answering is not None:
            parts.append(_("{key} stops").format(key=stop_key))
        self.update(Content(" · ".join(part for part in parts if part)))
