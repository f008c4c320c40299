"""What is written and not sent yet: the composer's text, and messages queued behind an answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..composer.chips import Chip, Draft
from ..composer.composer import Composer
from ..window import StateChanged, Window

if TYPE_CHECKING:
    from ...store import StoredMessage


class QueuedMessage(NamedTuple):
    """A message: the text to send, and the draft that it was in the composer."""

    text: str
    draft: Draft


def merge_drafts(queue: Sequence[QueuedMessage], current: Draft) -> Draft:
    """Queue and current draft as one draft, the current one last."""
    chips: dict[str, Chip] = {chip.label: chip for chip in current.chips}
    parts = []
    for message in queue:
        same = all(chips.get(chip.label, chip) == chip for chip in message.draft.chips)
        parts.append(message.draft.text if same else message.text)
        chips |= {chip.label: chip for chip in message.draft.chips if same}
    if current.text:
        parts.append(current.text)
    return Draft("\n\n".join(parts), tuple(chips.values()))


class Drafts:
    """The drafts of the conversation that is shown.

    `queue` holds what was sent during a pending answer. `edited` is the message of which the
    composer holds a new version.
    """

    def __init__(self, window: Window, composer: Composer) -> None:
        self._window = window
        self._composer = composer
        self.queue: list[QueuedMessage] = []
        self.edited: StoredMessage | None = None

    @property
    def has_text(self) -> bool:
        """Whether the composer holds text."""
        return bool(self._composer.text)

    def current(self) -> Draft:
        """The queue and the composer's text, as one draft."""
        draft = merge_drafts(self.queue, self._composer.unsent)
        edited = None if self.edited is None else self.edited.id
        return draft._replace(edits=edited) if draft.text.strip() else draft

    def show(self, draft: Draft, edited: "StoredMessage | None") -> None:
        """Replace the composer's text with the draft of another conversation."""
        self._composer.draft = draft
        self.set_edited(edited)

    def set_edited(self, message: "StoredMessage | None") -> None:
        """The composer holds a new version of this message; None: of none."""
        self.edited = message
        self._window.post_message(StateChanged())

    def enqueue(self, text: str, draft: Draft) -> None:
        """Queue a message behind the pending answer."""
        self.queue.append(QueuedMessage(text, draft))
        self._window.post_message(StateChanged())

    def unqueue(self) -> None:
        """Move the queue back into the composer, before what is written there."""
        if self.queue:
            self._composer.draft = self.current()
            self.queue.clear()
            self._window.post_message(StateChanged())
            self._composer.focus()

    def restore(self, draft: Draft) -> None:
        """Put a draft into the composer, before what is written there."""
        if draft.text:
            restored = QueuedMessage(draft.text, draft)
            self._composer.draft = merge_drafts([restored], self._composer.unsent)
