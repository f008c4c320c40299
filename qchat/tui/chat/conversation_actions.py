"""What can be done with whole conversations; a room of actions."""

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...i18n import _
from ...store import formatting as chat_lines

if TYPE_CHECKING:
    from ..app import ChatApp
    from .repository import ConversationRepository


class ConversationActions:
    """Acts on what is chosen in the list while that has the focus, else on what is shown."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self._deleted: list[str] = []

    @property
    def _keeper(self) -> "ConversationRepository":
        return self._app.conversation.keeper

    def _target(self) -> str:
        """The id of the conversation that is meant. Raises `UsageError` where there is none."""
        sidebar = self._app.sidebar
        if sidebar.in_use:
            if sidebar.list.chosen is None:
                raise UsageError(_("No conversation is chosen."))
            return sidebar.list.chosen.id
        if self._app.conversation.key is None:
            raise UsageError(_("This conversation has not begun; ask something first."))
        return self._app.conversation.key

    def list(self) -> None:
        """The list at the side."""
        self._app.sidebar.toggle()

    def search(self, words: str = "") -> None:
        """The search, with these words to begin with."""
        from ..screens.search import SearchScreen

        self._app.sidebar.back()
        self._app.push_screen(SearchScreen(self._app, words))

    # -- title, pin, archive ---------------------------------------------------------------

    async def rename(self, words: str) -> None:
        """Another title. Raises `QchatError`."""
        await self.rename_to(self._target(), words)

    def rename_here(self) -> None:
        """Another title, written in the list."""
        self._app.sidebar.rename()

    async def rename_to(self, key: str, words: str) -> None:
        """Another title for a conversation. Raises `QchatError`."""
        words = chat_lines.checked_title(words)
        changed = await self._keeper.run(self._keeper.store.conversations.rename, key, words)
        if key == self._app.conversation.key:
            self._app.conversation.title = changed.title
        await self._changed(chat_lines.renamed(changed))

    async def give_title(self, key: str, title: str) -> None:
        """A title that a model has made; one of the person's own stays. Raises `StoreError`."""
        rename = self._keeper.store.conversations.rename
        changed = await self._keeper.run(rename, key, title, named=False)
        if key == self._app.conversation.key:
            self._app.conversation.title = changed.title
        await self._app.sidebar.read()

    async def pin(self) -> None:
        """On top, or no longer. Raises `QchatError`."""
        store = self._keeper.store.conversations
        old = await self._keeper.run(store.get, self._target())
        changed = await self._keeper.run(store.pin, old.id, not old.pinned)
        await self._changed(chat_lines.pinned(changed))

    async def archive(self) -> None:
        """Out of the list, or back into it. Raises `QchatError`."""
        store = self._keeper.store.conversations
        old = await self._keeper.run(store.get, self._target())
        changed = await self._keeper.run(store.archive, old.id, not old.archived)
        await self._changed(chat_lines.archived(changed))

    async def show_archived(self) -> None:
        """The list of the archived ones, or of the others."""
        await self._app.sidebar.show_archived()

    # -- deleting --------------------------------------------------------------------------

    async def delete(self) -> None:
        """Put away, with a way back. Raises `QchatError`."""
        key = self._target()
        conversation = self._app.conversation
        conversation.stop(key)
        if key == conversation.key:
            await conversation.show(None)
        deleted = await self._keeper.run(self._keeper.store.conversations.delete, key)
        if key not in self._deleted:
            self._deleted.append(key)
        way = self._app.keymap.shown("list_restore" if self._app.sidebar.in_use else "restore")
        said = _("Deleted: {title}. Back with {way}")
        await self._changed(said.format(title=chat_lines.title(deleted), way=way))

    async def restore(self) -> None:
        """Undo the last deletion. Raises `QchatError`."""
        if not self._deleted:
            raise UsageError(
                _("Nothing was deleted here; for earlier ones there is qchat chats restore.")
            )
        restore = self._keeper.store.conversations.restore
        key = self._deleted.pop()  # now: another one may be asked for before this is done
        try:
            restored = await self._keeper.run(restore, key)
        except Exception:
            self._deleted.append(key)
            raise
        await self._changed(chat_lines.restored(restored))

    async def _changed(self, said: str) -> None:
        self._app.say(said)
        await self._app.sidebar.read()

    # -- files -----------------------------------------------------------------------------

    async def export(self, words: str) -> None:
        """Write to a file: the format, and the file's name, each if one likes.

        Raises `UsageError`, `EngineError` where the file can't be written.
        """
        from .transfer import asked_form, write

        form, name = asked_form(words)
        path = await self._keeper.run(write, self._keeper.store, self._target(), form, name)
        self._app.say(_("Wrote {path}").format(path=path.absolute()))

    async def import_(self, words: str) -> None:
        """Read a file; what is here already is not doubled. Raises `QchatError`."""
        from .transfer import read

        done = await self._keeper.run(read, self._keeper.store, words)
        await self._changed(chat_lines.imported(done))
        if len(done.added) == 1:
            await self._app.conversation.show(done.added[0])
