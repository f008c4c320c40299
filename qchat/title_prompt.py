"""The request for a conversation's title: what the chat sends, and what the demo model learns."""

from typing import Final

_PROMPT: Final = (
    "Write a title of at most six words for the conversation below, in its own language. Answer "
    "with the title alone.\n\nQuestion:\n{question}\n\nAnswer:\n{answer}"
)


def title_prompt(question: str, answer: str) -> str:
    """Return the prompt that asks for a title of a conversation with this first exchange."""
    return _PROMPT.format(question=question, answer=answer)
