"""What can be done with single questions and answers; a room of actions.

Nothing is overwritten: an edited message is another version beside the old one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...i18n import _, plural
from ...store import formatting as chat_lines
from ..composer.chips import Draft

if TYPE_CHECKING:
    from ...store import Store
    from ...store import StoredMessage as Stored
    from ..app import ChatApp
    from .conversation import Conversation


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken out: the conversation, and the last message before that."""

    conversation: str
    leaf: int


class MessageActions:
    """Acts on the message at the mark, else on the last that fits. All may raise `QchatError`."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self._editing: Stored | None = None
        self._taken: list[Taken] = []

    @property
    def _conversation(self) -> "Conversation":
        return self._app.conversation

    @property
    def _store(self) -> "Store":
        return self._conversation.keeper.store

    def _find(self, role: str = "") -> int:
        """The id of the message that is meant: the marked one, else the last one, of a role."""
        transcript = self._app.transcript
        messages = transcript.messages
        last = len(messages) - 1 if transcript.marked is None else transcript.marked
        if role == "assistant" and last < len(messages) - 1 and messages[last].role == "user":
            last += 1  # the mark is at a question: its answer
        for message in reversed(messages[: last + 1]):
            if message.id is not None and role in ("", message.role):
                return message.id
        raise UsageError(
            _("There is no answer here.")
            if role == "assistant"
            else _("There is no question here.")
        )

    # -- going on --------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the answer."""
        if not self._conversation.stop():
            raise UsageError(_("No answer is on its way."))

    async def go_on(self) -> None:
        """Go on with the last answer."""
        from ...store import MessageState

        conversation = self._conversation
        async with conversation.asks():
            shown = self._app.transcript.messages
            if not shown or shown[-1].role != "assistant" or shown[-1].id is None:
                raise UsageError(_("There is no answer to go on with."))
            last = await conversation.keeper.run(self._store.messages.get, shown[-1].id)
            again = self._app.keymap.shown("retry")
            if last.state is MessageState.COMPLETE and last.finish_reason != "length":
                text = _("The answer is whole; {key} lets you edit it and go on from there.")
                raise UsageError(text.format(key=self._app.keymap.shown("amend")))
            if not last.content.strip():
                text = _("There is no text to go on with yet; {key} asks again.")
                raise UsageError(text.format(key=again))
            await conversation.go_on(last.id)

    # -- editing ---------------------------------------------------------------------------

    @property
    def edits(self) -> bool:
        """Whether what is written is another version of a message."""
        return self._editing is not None

    @property
    def edited(self) -> int | None:
        """The id of that message."""
        return None if self._editing is None else self._editing.id

    @property
    def note(self) -> str:
        """What is to be known while a message is edited, else nothing."""
        if self._editing is None:
            return ""
        if self._editing.role == "user":
            return _("Editing a question: sent as a new version. Escape leaves it.")
        return _("Editing an answer: the model goes on from it. Escape leaves.")

    async def edit(self, role: str) -> None:
        """Put a question or an answer into the field, to be sent as another version."""
        composer = self._app.composer
        if composer.text.strip() and not self.edits:
            raise UsageError(_("Send what is written first, or empty the field."))
        found = await self._conversation.keeper.run(self._store.messages.get, self._find(role))
        self._editing = found
        composer.write(found.content)
        composer.focus()
        self._app.changed()

    def cancel(self) -> None:
        """Leave the editing; the message stays as it was."""
        if self.edits:
            self.take_up(None)
            self._app.composer.draft = Draft()

    def take_up(self, edited: "Stored | None") -> None:
        """What is written is another version of this message; None: of none."""
        self._editing = edited
        self._app.changed()

    async def send(self, text: str) -> None:
        """The edited message is written."""
        edited, self._editing = self._editing, None
        assert edited is not None
        try:
            await self._send(edited, text)
        except Exception:
            self._editing = edited
            self._conversation.put_back(Draft(text))  # what was written is never lost
            self._app.changed()
            raise

    async def _send(self, edited: "Stored", text: str) -> None:
        conversation = self._conversation
        async with conversation.asks():
            made = await conversation.keeper.another(edited, text)
            await conversation.read_again()
            if edited.role == "user":
                await conversation.answer(len(self._app.transcript.messages))
            else:
                await conversation.go_on(made.id)

    # -- versions --------------------------------------------------------------------------

    async def version(self, step: int) -> None:
        """Show another version of the marked message, else of the last that has several."""
        transcript, conversation = self._app.transcript, self._conversation
        messages = transcript.messages
        last = len(messages) - 1 if transcript.marked is None else transcript.marked
        several = [m.id for m in messages[: last + 1] if m.version is not None and m.id is not None]
        if not several:
            raise UsageError(_("There is only one version of this."))
        store = self._store.messages
        async with conversation.order:
            siblings = await conversation.keeper.run(store.siblings, several[-1])
            other = siblings[(siblings.index(several[-1]) + step) % len(siblings)]
            await conversation.keeper.run(store.show, other)
            await conversation.read_again()
        transcript.go_to_message(other)

    # -- taking out, and a conversation from here ------------------------------------------

    async def drop(self) -> None:
        """Take out a message and all after it."""
        transcript, conversation = self._app.transcript, self._conversation
        store = self._store.messages
        async with conversation.order:
            first = self._find("" if transcript.marked is not None else "user")
            ids = [message.id for message in transcript.messages]
            count, leaf = len(ids) - ids.index(first), ids[-1]
            found = await conversation.keeper.run(store.get, first)
            await conversation.keeper.run(store.set_leaf, found.conversation, found.parent)
            if leaf is not None:
                self._taken.append(Taken(found.conversation, leaf))
            await conversation.read_again()
        text = plural("Taken out: {n} message.", "Taken out: {n} messages.", count)
        back = _("Back with {key}").format(key=self._app.keymap.shown("undo"))
        self._app.say(f"{text.format(n=count)} {back}")

    async def undo(self) -> None:
        """Bring back what was taken out last."""
        if not self._taken:
            raise UsageError(_("Nothing was taken out here."))
        conversation = self._conversation
        taken = self._taken.pop()  # now: another one may be asked for before this is done
        try:
            await conversation.show(taken.conversation)
            async with conversation.order:
                leaf = self._store.messages.set_leaf
                await conversation.keeper.run(leaf, taken.conversation, taken.leaf)
                await conversation.read_again()
        except Exception:
            self._taken.append(taken)
            raise
        self._app.say(_("It is there again."))

    async def fork(self) -> None:
        """A new conversation that goes on from here."""
        at, conversation = self._find(), self._conversation
        assert conversation.key is not None
        fork = self._store.conversations.fork
        new = await conversation.keeper.run(fork, conversation.key, at)
        await conversation.show(new.id)
        await self._app.sidebar.read()
        self._app.say(
            _("A new conversation from here: {title}").format(title=chat_lines.title(new))
        )
