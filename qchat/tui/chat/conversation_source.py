"""Where the sidebar reads from: the store, and the conversation that is shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .conversation import Conversation

if TYPE_CHECKING:
    from ...store import StoredConversation

_SETTING = "sidebar"
_HIDDEN = "away"


class StoreSource:
    """Implements `ConversationSource` for the sidebar. The coroutines may raise `StoreError`."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._conversation.is_open

    def current(self) -> str | None:
        """The id of the conversation that is shown."""
        return self._conversation.id

    def is_answering(self, conversation: str) -> bool:
        """Whether the conversation has a pending answer."""
        return self._conversation.is_answering(conversation)

    async def changes(self) -> int:
        """A number that differs after each change of the store."""
        repository = self._conversation.repository
        return await repository.run(repository.store.changes)

    async def conversations(self, *, archived: bool) -> "Sequence[StoredConversation]":
        """The conversations, pinned ones first, then the latest first."""
        repository = self._conversation.repository
        return await repository.run(repository.store.conversations.list, archived=archived)

    async def was_hidden(self) -> bool:
        """Whether the sidebar was hidden when it was last used."""
        repository = self._conversation.repository
        return await repository.run(repository.store.recall, _SETTING) == _HIDDEN

    async def remember_hidden(self, hidden: bool) -> None:
        """Store whether the sidebar is hidden."""
        repository = self._conversation.repository
        await repository.run(repository.store.remember, _SETTING, _HIDDEN if hidden else "")
