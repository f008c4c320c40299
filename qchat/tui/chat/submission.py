"""What Enter does with the text of the composer."""

from collections.abc import Callable

from ...errors import UsageError
from ...i18n import _
from ..actions import slash
from ..actions.action import Action
from ..composer.composer import Composer
from ..window import Window
from .conversation import Conversation
from .message_actions import MessageActions


class Submission:
    """Runs a command, sends or queues a question, or sends an edited message."""

    def __init__(
        self,
        window: Window,
        conversation: Conversation,
        composer: Composer,
        message_actions: MessageActions,
        perform: Callable[[Action, str], None],
        is_blocked: Callable[[], bool],
    ) -> None:
        """`is_blocked` tells, and says, that nothing can be sent during a pending answer."""
        self._window = window
        self._conversation = conversation
        self._composer = composer
        self._message_actions = message_actions
        self._perform = perform
        self._is_blocked = is_blocked
        self._unknown_command = ""

    def submit(self, text: str, typed: str) -> None:
        """Submit `text`; `typed` is the visible part of it (see `Composer.Sent`)."""
        try:
            command = slash.parse(typed)
            if text != typed:  # it has chips, and a command takes no hidden text
                if isinstance(command, slash.SlashCommand):
                    raise UsageError(
                        _(
                            "Commands accept no attachments or folded text; Enter again sends "
                            "this as a message."
                        )
                    )
                command = text
        except UsageError as e:
            if self._unknown_command != text:
                self._unknown_command = text
                self._window.say(str(e), error=True, seconds=8)
                return
            command = text
        self._unknown_command = ""
        if isinstance(command, slash.SlashCommand):
            self._composer.take()
            self._perform(command.action, command.argument)
        else:
            self._send(command)

    def _send(self, text: str) -> None:
        draft = self._composer.draft
        if self._message_actions.is_editing:
            if not self._is_blocked():
                self._composer.take()
                self._window.spawn(self._message_actions.send(text))
        elif self._conversation.pending_answer is not None:
            self._composer.take()
            self._conversation.drafts.enqueue(text, draft)
        elif not self._is_blocked():
            self._composer.take()
            self._conversation.send(text, draft)
