"""What widgets have in common that take no text: it goes to the composer."""

from textual import events


class WithoutText:
    """A widget that may have the focus, but is not written into."""

    def is_text(self, event: events.Event) -> bool:
        """Whether an event is text, which the composer is to get."""
        return isinstance(event, events.Paste)
