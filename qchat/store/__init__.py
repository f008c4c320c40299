"""The store of conversations. What others may use stands here.

    with open_store(settings.paths.data) as store:
        chat = store.conversations.create(model="demo")
        store.messages.add(chat.id, "user", "Why is the sky blue?")     # on disk now
        answer = store.messages.begin(chat.id, model="demo")
        store.messages.checkpoint(answer.id, "Because")                 # every second
        store.messages.finish(answer.id, State.COMPLETE, "Because …")
        for node in store.messages.path(chat.id): ...                   # light: no texts
        store.messages.bodies([node.id])                                # the texts of some
        store.search("sky")

`store.conversations` is a `ConversationTable`, `store.messages` a `MessageTable`. Calls are
synchronous and may come from any thread; an event loop uses `StoreThread`. A window shows
`store.notice`.
"""

from ..message_state import MessageState
from .conversations import ConversationTable
from .errors import StoreError, StoreProblem
from .messages import LEAF, Leaf, MessageTable
from .portable import FORMAT, FORMAT_VERSION, BadDocumentError, Imported, Parsed, parse_messages
from .portable import parse as parse_document
from .reading import read_conversations
from .recorder import AnswerRecorder
from .records import ROLES, Hit, Node, StoredConversation, StoredMessage
from .salvage import is_database, readable
from .store import Store, StoreThread, open_store, open_store_or_memory
from .text import title_of

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "LEAF",
    "ROLES",
    "AnswerRecorder",
    "BadDocumentError",
    "ConversationTable",
    "Hit",
    "Imported",
    "Leaf",
    "MessageState",
    "MessageTable",
    "Node",
    "Parsed",
    "Store",
    "StoreError",
    "StoreProblem",
    "StoreThread",
    "StoredConversation",
    "StoredMessage",
    "is_database",
    "open_store",
    "open_store_or_memory",
    "parse_document",
    "parse_messages",
    "read_conversations",
    "readable",
    "title_of",
]
