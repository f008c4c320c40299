"""What was sent while an answer came, and waits for it to end."""

from collections.abc import Sequence
from typing import NamedTuple

from ..composer.chips import Chip, Draft


class QueuedMessage(NamedTuple):
    """A message: the text that is sent, and how it stood in the field."""

    text: str
    draft: Draft


def merge_drafts(waiting: Sequence[QueuedMessage], field: Draft) -> Draft:
    """All of it as one draft, what stands in the field at the end."""
    chips: dict[str, Chip] = {chip.label: chip for chip in field.chips}
    parts = []
    for message in waiting:
        same = all(chips.get(chip.label, chip) == chip for chip in message.draft.chips)
        parts.append(message.draft.text if same else message.text)
        chips |= {chip.label: chip for chip in message.draft.chips if same}
    if field.text:
        parts.append(field.text)
    return Draft("\n\n".join(parts), tuple(chips.values()))
