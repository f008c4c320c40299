"""What Enter does with the text of the composer."""

from collections.abc import Callable, Collection

from ...errors import UsageError
from ...i18n import _
from ..actions import slash
from ..actions.action import Action
from ..composer.chips import Draft
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
        *,
        prompt_names: Callable[[], Collection[str]],
        use_prompt: Callable[[str, Callable[[], None]], None],
        begin_conversation: Callable[[Callable[[], None], Callable[[], None]], None],
        is_server_awaited: Callable[[], bool],
    ) -> None:
        """`is_blocked` tells, and says, that nothing can be sent during a pending answer.

        `prompt_names` are those of the system prompts, `use_prompt` uses one or raises
        `UsageError`. `begin_conversation` calls the first function it gets before the first
        question is sent, or the second where it is not to be sent. While `is_server_awaited`,
        questions are queued."""
        self._window = window
        self._conversation = conversation
        self._composer = composer
        self._message_actions = message_actions
        self._perform = perform
        self._is_blocked = is_blocked
        self._prompt_names = prompt_names
        self._use_prompt = use_prompt
        self._begin_conversation = begin_conversation
        self._is_server_awaited = is_server_awaited
        self._unknown_command = ""

    def submit(self, text: str, typed: str) -> None:
        """Submit `text`; `typed` is the visible part of it (see `Composer.Sent`)."""
        try:
            command = slash.parse(typed, self._prompt_names() if typed.startswith("/") else ())
            if isinstance(command, slash.SlashCommand) and command.action.name == "unfold":
                self._unfold(command.argument)
                return
            if isinstance(command, slash.PromptCommand):
                self._run_prompt(command.prompt, text)
                return
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

    def _unfold(self, argument: str) -> None:
        """Leave the argument, a chip and what stands around it, in the field, and unfold it."""
        chips = self._composer.draft.chips
        self._composer.take()
        if chips:
            self._composer.draft = Draft(argument, chips)
        self._composer.unfold()

    def _run_prompt(self, prompt: str, text: str) -> None:
        """Use a system prompt, and send what follows its name, if anything does."""
        if self._message_actions.is_editing or self._is_blocked():
            return
        question = "".join(text.split(maxsplit=1)[1:]).strip()
        chips = self._composer.draft.chips

        def send() -> None:
            self._composer.take()
            if question:
                self._conversation.send(question, Draft(text, chips))

        self._use_prompt(prompt, send)

    def _send(self, text: str) -> None:
        draft = self._composer.draft
        if self._message_actions.is_editing:
            if any(chip.is_picture for chip in draft.chips):
                text = _("A message that is edited keeps its pictures and takes no others.")
                self._window.say(text, error=True, seconds=8)
            elif not self._is_blocked():
                self._composer.take()
                self._window.spawn(self._message_actions.send(text))
        elif self._conversation.pending_answer is not None or self._is_server_awaited():
            self._composer.take()
            self._conversation.drafts.enqueue(text, draft)
        elif not self._is_blocked():

            def send() -> None:
                self._composer.take()
                self._conversation.send(text, draft)

            self._begin(send, lambda: None)

    def ask(self, question: str) -> None:
        """Send a question that is not from the composer; where it can't be, it is put there."""
        self._begin(
            lambda: self._conversation.send(question),
            lambda: self._conversation.drafts.restore(Draft(question)),
        )

    def send_queued(self) -> None:
        """Send the first queued question, unless an answer is pending, which the queue follows."""
        drafts = self._conversation.drafts
        if drafts.queue and self._conversation.pending_answer is None:
            text, draft = drafts.queue.pop(0)
            self._begin(lambda: self._conversation.send(text, draft), lambda: drafts.restore(draft))

    def _begin(self, send: Callable[[], None], cancel: Callable[[], None]) -> None:
        if self._conversation.id is None:
            self._begin_conversation(send, cancel)
        else:
            send()
