"""Titles by the model, requested while nothing else is; cancelled when something else is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from textual.message import Message

from ...i18n import _
from ...sampling import Sampling
from ...sanitize import clean, one_line
from ...title_prompt import title_prompt
from ..window import Window
from .request_thread import ChatRequest, RequestThread

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint
    from ..transcript.answer_stats import AnswerResult
    from .repository import ConversationRepository

_MAX_EXCHANGES: Final = 3  # a conversation that has no title by then keeps its first question
_EXCERPT_CHARS: Final = 1_500  # of the question and of the answer in the prompt
_MAX_TITLE_CHARS: Final = 60
_SAMPLING: Final = Sampling(max_tokens=40, temperature=0.3, thinking=False)


class TitleGenerator:
    """Gives titles to conversations that are still named by their first question."""

    class Generated(Message):
        """A model wrote a title."""

        def __init__(self, conversation: str, title: str) -> None:
            super().__init__()
            self.conversation = conversation
            self.title = title

    def __init__(
        self,
        window: Window,
        repository: "ConversationRepository",
        is_busy: Callable[[], bool],
        *,
        enabled: bool,
    ) -> None:
        """Nothing is requested while `is_busy`."""
        self._window = window
        self._repository = repository
        self._is_busy = is_busy
        self._enabled = enabled
        self._request_thread: RequestThread | None = None

    def stop(self) -> None:
        """Cancel the request: the server is needed for something else."""
        if self._request_thread is not None:
            self._request_thread.stop()
            self._request_thread = None

    async def generate(self, conversation: str, endpoint: "Endpoint", model: str | None) -> None:
        """Request a title, if the conversation lacks one. Raises `StoreError`."""
        if not self._enabled:
            return
        exchange = await self._repository.run(self._first_exchange, conversation)
        if exchange is None or self._is_busy():
            return
        self.stop()
        prompt = title_prompt(*exchange)
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        self._request_thread = RequestThread(
            ChatRequest(endpoint, model, messages, _SAMPLING),
            lambda _events: None,
            lambda result: self._finish(conversation, result),
        )

    def _first_exchange(self, conversation: str) -> tuple[str, str] | None:
        """The first question and its answer; None where no title is to be generated."""
        from ...store import title_of

        store = self._repository.store
        record = store.conversations.get(conversation)
        nodes = store.messages.path(conversation)
        if record.named or not 2 <= len(nodes) <= 2 * _MAX_EXCHANGES:
            return None
        question, answer = store.messages.bodies([node.id for node in nodes[:2]])
        if record.title != title_of(question.content) or not answer.content:
            return None
        return question.content[:_EXCERPT_CHARS], answer.content[:_EXCERPT_CHARS]

    def _finish(self, conversation: str, result: "AnswerResult") -> None:
        self._request_thread = None
        title = parse_title(result.content)
        if title and not result.error and result.finish_reason == "stop":
            self._window.post_message(self.Generated(conversation, title))


def parse_title(text: str) -> str:
    """The title in a model's answer; '' where there is none."""
    lines = clean(text).strip().splitlines()
    title = one_line(lines[0]) if lines else ""
    title = title.removeprefix(_("Title:")).strip(" \t#*_`\"'“”„«»「」《》.。")
    has_letters = sum(character.isalpha() for character in title) >= 2  # a number is no title
    return title if has_letters and len(title) <= _MAX_TITLE_CHARS else ""
