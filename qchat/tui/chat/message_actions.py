"""Actions on single questions and answers.

Nothing is overwritten: an edited message is another version beside the old one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message as WindowMessage

from ...errors import UsageError
from ...i18n import _, plural
from ...message_state import MessageState
from ...store import formatting
from ..actions.keymap import Keymap
from ..composer.chips import Draft
from ..composer.composer import Composer
from ..transcript.transcript import Transcript
from ..window import Window
from .conversation import Conversation

if TYPE_CHECKING:
    from ...store import MessageTable, StoredMessage


@dataclass(frozen=True, slots=True)
class DroppedMessages:
    """A conversation, and the last message of its path before some were dropped."""

    conversation: str
    leaf: int


class MessageActions:
    """Acts on the message at the cursor, else on the last suitable one. All raise `QchatError`."""

    class Forked(WindowMessage):
        """A conversation was added to the store."""

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        conversation: Conversation,
        transcript: Transcript,
        composer: Composer,
    ) -> None:
        self._window = window
        self._keymap = keymap
        self._conversation = conversation
        self._transcript = transcript
        self._composer = composer
        self._drafts = conversation.drafts
        self._dropped: list[DroppedMessages] = []

    @property
    def _messages(self) -> "MessageTable":
        return self._conversation.repository.store.messages

    def _target(self, role: str = "") -> int:
        """The id of the message to act on: at the cursor, else the last one, of a role."""
        messages, cursor = self._transcript.messages, self._transcript.marked
        last = len(messages) - 1 if cursor is None else cursor
        if role == "assistant" and last < len(messages) - 1 and messages[last].role == "user":
            last += 1  # the cursor is at a question: its answer
        for message in reversed(messages[: last + 1]):
            if message.id is not None and role in ("", message.role):
                return message.id
        raise UsageError(
            _("There is no answer here.")
            if role == "assistant"
            else _("There is no question here.")
        )

    # -- requests --------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the pending answer."""
        if not self._conversation.stop():
            raise UsageError(_("There is no pending answer."))

    async def retry(self) -> None:
        """Request another answer to the last question; the old one stays stored as a branch."""
        conversation = self._conversation
        if conversation.id is None or conversation.busy:
            return
        async with conversation.request_lock():
            messages = self._transcript.messages
            questions = [at for at, message in enumerate(messages) if message.role == "user"]
            if questions:
                await conversation.request_answer(questions[-1] + 1)

    async def continue_answer(self) -> None:
        """Continue the last answer."""
        conversation = self._conversation
        async with conversation.request_lock():
            messages = self._transcript.messages
            if not messages or messages[-1].role != "assistant" or messages[-1].id is None:
                raise UsageError(_("There is no answer to continue."))
            last = await conversation.repository.run(self._messages.get, messages[-1].id)
            if last.state is MessageState.COMPLETE and last.finish_reason != "length":
                text = _("The answer is complete; {key} edits it and continues from there.")
                raise UsageError(text.format(key=self._keymap.shown("amend")))
            if not last.content.strip():
                text = _("There is no text to continue yet; {key} sends the question again.")
                raise UsageError(text.format(key=self._keymap.shown("retry")))
            await conversation.continue_answer(last.id)

    # -- editing ---------------------------------------------------------------------------

    @property
    def is_editing(self) -> bool:
        """Whether the composer holds a new version of a message."""
        return self._drafts.edited is not None

    @property
    def note(self) -> str:
        """The line above the composer while a message is edited, else ''."""
        if self._drafts.edited is None:
            return ""
        if self._drafts.edited.role == "user":
            return _("Editing a question: it is sent as a new version. Escape cancels.")
        return _("Editing an answer: the model continues from it. Escape cancels.")

    async def edit(self, role: str) -> None:
        """Put a question or an answer into the composer, to be sent as a new version."""
        composer = self._composer
        if composer.text.strip() and not self.is_editing:
            raise UsageError(_("Send or clear the text in the composer first."))
        message = await self._conversation.repository.run(self._messages.get, self._target(role))
        composer.write(message.content)
        composer.focus()
        self._drafts.set_edited(message)

    def cancel(self) -> None:
        """Cancel editing; the message stays as it was."""
        if self.is_editing:
            self._drafts.show(Draft(), None)

    async def send(self, text: str) -> None:
        """Store the new version of the edited message, and request an answer."""
        edited, self._drafts.edited = self._drafts.edited, None
        assert edited is not None
        try:
            await self._send(edited, text)
        except Exception:
            self._drafts.restore(Draft(text))  # what was written is never lost
            self._drafts.set_edited(edited)
            raise

    async def _send(self, edited: "StoredMessage", text: str) -> None:
        conversation = self._conversation
        async with conversation.request_lock():
            version = await conversation.repository.add_version(edited, text)
            await conversation.reload()
            if edited.role == "user":
                await conversation.request_answer(len(self._transcript.messages))
            else:
                await conversation.continue_answer(version.id)

    # -- versions --------------------------------------------------------------------------

    async def version(self, step: int) -> None:
        """Show another version of the message at the cursor, else of the last that has several."""
        transcript, conversation = self._transcript, self._conversation
        messages, cursor = transcript.messages, transcript.marked
        last = len(messages) - 1 if cursor is None else cursor
        several = [m.id for m in messages[: last + 1] if m.version is not None and m.id is not None]
        if not several:
            raise UsageError(_("There is only one version of this."))
        run = conversation.repository.run
        async with conversation.lock:
            siblings = await run(self._messages.siblings, several[-1])
            other = siblings[(siblings.index(several[-1]) + step) % len(siblings)]
            await run(self._messages.show, other)
            await conversation.reload()
        transcript.go_to_message(other)

    # -- dropping and forking --------------------------------------------------------------

    async def drop(self) -> None:
        """Remove a message and all after it from the path."""
        transcript, conversation = self._transcript, self._conversation
        run = conversation.repository.run
        async with conversation.lock:
            first = self._target("" if transcript.marked is not None else "user")
            ids = [message.id for message in transcript.messages]
            count, leaf = len(ids) - ids.index(first), ids[-1]
            message = await run(self._messages.get, first)
            await run(self._messages.set_leaf, message.conversation, message.parent)
            if leaf is not None:
                self._dropped.append(DroppedMessages(message.conversation, leaf))
            await conversation.reload()
        text = plural("Removed {n} message.", "Removed {n} messages.", count)
        undo = _("{key} undoes this.").format(key=self._keymap.shown("undo"))
        self._window.say(f"{text.format(n=count)} {undo}")

    async def undo(self) -> None:
        """Restore what was dropped last."""
        if not self._dropped:
            raise UsageError(_("There is nothing to undo."))
        conversation = self._conversation
        dropped = self._dropped.pop()  # now: another undo may start before this is done
        try:
            await conversation.show(dropped.conversation)
            async with conversation.lock:
                set_leaf = self._messages.set_leaf
                await conversation.repository.run(set_leaf, dropped.conversation, dropped.leaf)
                await conversation.reload()
        except Exception:
            self._dropped.append(dropped)
            raise
        self._window.say(_("The messages are restored."))

    async def fork(self) -> None:
        """Copy the path up to the message at the cursor into a new conversation."""
        message, conversation = self._target(), self._conversation
        assert conversation.id is not None
        fork = conversation.repository.store.conversations.fork
        copy = await conversation.repository.run(fork, conversation.id, message)
        await conversation.show(copy.id)
        self._window.post_message(self.Forked())
        self._window.say(
            _("New conversation from here: {title}").format(title=formatting.title(copy))
        )
