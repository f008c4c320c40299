"""Actions on whole conversations."""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...i18n import _
from ...store import formatting
from ..actions.keymap import Keymap
from ..composer.composer import Composer
from ..threads import run_in_daemon_thread
from ..widgets.sidebar import Sidebar
from ..window import Window
from .conversation import Conversation

if TYPE_CHECKING:
    from ...store import ConversationTable, Hit
    from .repository import ConversationRepository


class ConversationActions:
    """Acts on the conversation selected in the sidebar while that has the focus, else on the one
    that is shown. All may raise `QchatError`."""

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        conversation: Conversation,
        sidebar: Sidebar,
        composer: Composer,
    ) -> None:
        self._window = window
        self._keymap = keymap
        self._conversation = conversation
        self._sidebar = sidebar
        self._composer = composer
        self._deleted: list[str] = []

    @property
    def _repository(self) -> "ConversationRepository":
        return self._conversation.repository

    @property
    def _table(self) -> "ConversationTable":
        return self._repository.store.conversations

    def _target(self) -> str:
        """The id of the conversation to act on. Raises `UsageError` where there is none."""
        if self._sidebar.in_use:
            if self._sidebar.list.chosen is None:
                raise UsageError(_("No conversation is selected."))
            return self._sidebar.list.chosen.id
        if self._conversation.id is None:
            raise UsageError(_("This conversation is empty; send a message first."))
        return self._conversation.id

    def new(self) -> Coroutine[Any, Any, None]:
        """Show a new conversation, for what is typed from now on."""
        self._composer.focus()
        return self._conversation.show(None)

    def toggle_list(self) -> None:
        """Show, focus or hide the sidebar."""
        self._sidebar.toggle()

    def search(self, query: str = "") -> None:
        """Open the search with this query."""
        from ..screens.search import SearchScreen

        self._sidebar.leave()
        self._window.push_screen(SearchScreen(query, self._search, self._window.say), self._open)

    async def _search(self, query: str, limit: int) -> "Sequence[Hit]":
        return await self._repository.run(self._repository.store.search, query, limit=limit)

    def _open(self, hit: "Hit | None") -> None:
        if hit is not None:
            terms = [hit.snippet[start:end] for start, end in hit.marks]
            self._window.spawn(self._conversation.show(hit.conversation, hit.message, terms))

    async def show_tree(self) -> None:
        """List all branches; the one that is picked is shown."""
        from ..screens.pick_list import PickItem, PickList
        from .branches import MOST, branch_rows

        key, messages, run = self._target(), self._repository.store.messages, self._repository.run
        nodes = (await run(messages.tree, key))[-MOST:]
        path = frozenset(node.id for node in await run(messages.path, key))
        bodies = await run(messages.bodies, [node.id for node in nodes])
        items = [
            PickItem(
                str(row.message),
                ("● " if row.is_shown else "○ ") + row.text,
                _("version {n} of {of}").format(n=row.version[0], of=row.version[1])
                if row.version
                else "",
                indent=row.depth,
            )
            for row in branch_rows(nodes, bodies, path)
        ]

        def show(message: str | None) -> None:
            if message is not None:
                self._window.spawn(self._conversation.show(key, int(message)))

        note = _("● is on the branch shown · Enter: show this branch · Esc: close")
        screen = PickList(_("Branches"), items, placeholder=_("Filter"), note=note)
        self._window.push_screen(screen, show)
        last = next((row for row in reversed(items) if row.text.startswith("●")), None)
        if last is not None:
            screen.call_after_refresh(screen.highlight, last.key)

    async def paste_picture(self) -> None:
        """Attach the picture on the clipboard."""
        from ..clipboard import read_picture
        from .clipboard_pictures import write_picture

        if not self._composer.takes_pictures:
            raise UsageError(_("Pictures can't be attached here."))
        path = await run_in_daemon_thread(lambda: write_picture(read_picture()))
        if not self._composer.put_picture(path, _("clipboard")):
            path.unlink(missing_ok=True)

    async def open_editor(self) -> None:
        """Edit the draft in the external editor, in the conversation that was opened last."""
        async with self._conversation.lock:
            self._composer.write_elsewhere()

    async def recall_questions(self) -> None:
        """Step through earlier questions in the composer."""
        self._composer.walk(await self._repository.questions(self._conversation.id))

    # -- title, pin, archive ---------------------------------------------------------------

    async def rename(self, title: str) -> None:
        """Change the title."""
        await self.rename_to(self._target(), title)

    def edit_title(self) -> None:
        """Edit the title in the sidebar."""
        self._sidebar.rename()

    async def rename_to(self, conversation: str, title: str) -> None:
        """Change the title of a conversation."""
        title = formatting.checked_title(title)
        changed = await self._repository.run(self._table.rename, conversation, title)
        if conversation == self._conversation.id:
            self._conversation.title = changed.title
        await self._report(formatting.renamed(changed))

    async def set_generated_title(self, conversation: str, title: str) -> None:
        """Set a title that a model wrote; one that a person chose is left."""
        changed = await self._repository.run(self._table.rename, conversation, title, named=False)
        if conversation == self._conversation.id:
            self._conversation.title = changed.title
        await self._sidebar.read()

    async def pin(self) -> None:
        """Pin or unpin."""
        old = await self._repository.run(self._table.get, self._target())
        changed = await self._repository.run(self._table.pin, old.id, not old.pinned)
        await self._report(formatting.pinned(changed))

    async def archive(self) -> None:
        """Archive or unarchive."""
        old = await self._repository.run(self._table.get, self._target())
        changed = await self._repository.run(self._table.archive, old.id, not old.archived)
        await self._report(formatting.archived(changed))

    async def show_archived(self) -> None:
        """List the archived conversations in the sidebar, or again the others."""
        if not self._sidebar.in_use:
            self._sidebar.toggle()
        await self._sidebar.toggle_archived()

    async def toggle_archived(self) -> None:
        """List the archived conversations, or the others."""
        await self._sidebar.toggle_archived()

    # -- deleting --------------------------------------------------------------------------

    async def confirm_delete(self) -> None:
        """Ask, and then move to the trash."""
        from ..screens.confirmation import Confirmation

        target = self._target()
        name = formatting.title(await self._repository.run(self._table.get, target))
        question = _("Delete the conversation “{title}”?").format(title=name)

        def answer(confirmed: bool | None) -> None:
            if confirmed:
                self._window.spawn(self._delete(target))

        self._window.push_screen(Confirmation(question, _("delete")), answer)

    async def delete(self) -> None:
        """Move to the trash."""
        await self._delete(self._target())

    async def _delete(self, target: str) -> None:
        conversation = self._conversation
        conversation.stop(target)
        if target == conversation.id:
            await conversation.show(None)
        deleted = await self._repository.run(self._table.delete, target)
        if target not in self._deleted:
            self._deleted.append(target)
        key = self._keymap.shown("list_restore" if self._sidebar.in_use else "restore")
        text = _("Deleted: {title}. {key} restores it.")
        await self._report(text.format(title=formatting.title(deleted), key=key))

    async def restore(self) -> None:
        """Undo the last deletion."""
        if not self._deleted:
            raise UsageError(
                _("Nothing was deleted in this window; for the rest: qchat chats restore.")
            )
        conversation = self._deleted.pop()  # now: another restore may start before this is done
        try:
            restored = await self._repository.run(self._table.restore, conversation)
        except Exception:
            self._deleted.append(conversation)
            raise
        await self._report(formatting.restored(restored))

    async def _report(self, text: str) -> None:
        self._window.say(text)
        await self._sidebar.read()

    # -- files -----------------------------------------------------------------------------

    async def export(self, arguments: str) -> None:
        """Write to a file; `arguments` are the format and the file's name, both optional."""
        from .transfer import parse_export_arguments, write

        form, name = parse_export_arguments(arguments)
        store = self._repository.store
        path = await self._repository.run(write, store, self._target(), form, name)
        self._window.say(_("Wrote {path}").format(path=path.absolute()))

    async def import_(self, name: str) -> None:
        """Read a file; conversations that are stored already are not duplicated."""
        from .transfer import read

        imported = await self._repository.run(read, self._repository.store, name)
        await self._report(formatting.imported(imported))
        if len(imported.added) == 1:
            await self._conversation.show(imported.added[0])
