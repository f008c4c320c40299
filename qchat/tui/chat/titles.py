"""A title by the model, asked for when nothing else is, and given up as soon as something is."""

from typing import TYPE_CHECKING, Any, Final

from ...i18n import _
from ...sampling import Sampling
from ...sanitize import clean, one_line

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint
    from ..app import ChatApp
    from .request_thread import AnswerResult, RequestThread

_EXCHANGES: Final = 3  # a conversation that has no title by then keeps its first question
_CHARS: Final = 1_500  # of the question and of the answer that the model is shown
_LONGEST: Final = 60
_SAMPLING: Final = Sampling(max_tokens=40, temperature=0.3, thinking=False)
_PROMPT: Final = (
    "Write a title of at most six words for the conversation below, in its own language. Answer "
    "with the title alone.\n\nQuestion:\n{question}\n\nAnswer:\n{answer}"
)


class TitleGenerator:
    """Gives titles to conversations that still bear their first question's words."""

    def __init__(self, app: "ChatApp", *, wanted: bool) -> None:
        self._app = app
        self._wanted = wanted
        self._asking: RequestThread | None = None

    def stop(self) -> None:
        """The server is wanted for something else."""
        if self._asking is not None:
            self._asking.stop()
            self._asking = None

    async def give(self, conversation: str, endpoint: "Endpoint", model: str | None) -> None:
        """Ask for one, if that conversation lacks it. Raises `StoreError`."""
        if not self._wanted:
            return
        keeper = self._app.conversation.keeper
        shown = await keeper.run(self._exchange, conversation)
        if shown is None or self._app.conversation.busy:
            return
        from .request_thread import ChatRequest, RequestThread

        self.stop()
        prompt = _PROMPT.format(question=shown[0], answer=shown[1])
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        self._asking = RequestThread(
            ChatRequest(endpoint, model, messages, _SAMPLING),
            lambda _events: None,
            lambda end: self._ended(conversation, end),
        )

    def _exchange(self, conversation: str) -> tuple[str, str] | None:
        """The first question and its answer, None where a title is not wanted."""
        from ...store import title_of

        store = self._app.conversation.keeper.store
        record = store.conversations.get(conversation)
        nodes = store.messages.path(conversation)
        if record.named or not 2 <= len(nodes) <= 2 * _EXCHANGES:
            return None
        question, answer = store.messages.bodies([node.id for node in nodes[:2]])
        if record.title != title_of(question.content) or not answer.content:
            return None
        return question.content[:_CHARS], answer.content[:_CHARS]

    def _ended(self, conversation: str, end: "AnswerResult") -> None:
        self._asking = None
        title = as_title(end.content)
        if title and not end.error and end.finish_reason == "stop":
            self._app.spawn(self._app.chats.give_title(conversation, title))


def as_title(text: str) -> str:
    """A model's answer as a title; nothing where it is none."""
    lines = clean(text).strip().splitlines()
    title = one_line(lines[0]) if lines else ""
    title = title.removeprefix(_("Title:")).strip(" \t#*_`\"'“”„«»「」《》.。")
    words = sum(character.isalpha() for character in title) >= 2  # a number is no title
    return title if words and len(title) <= _LONGEST else ""
