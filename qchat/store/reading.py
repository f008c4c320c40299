"""Reading the store where nothing is to be changed, mended or locked."""

import time
from pathlib import Path

from .conversations import ConversationTable
from .opening import NAME, open_read_only
from .records import StoredConversation


def read_conversations(
    folder: Path, limit: int, *, deleted: bool = False
) -> list[StoredConversation]:
    """The first `limit` conversations of the store in this folder, as `list` orders them, archived
    ones too; none where there is no store. Raises `StoreError`."""
    if not (folder / NAME).exists():
        return []
    database = open_read_only(folder, time.time)
    try:
        return ConversationTable(database).list(archived=None, deleted=deleted, limit=limit)
    finally:
        database.close()
