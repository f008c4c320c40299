"""The prompt of a request, as text, and its length."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """The texts of a request's prompt: one of a chat, one or more of other endpoints.

    With `special`, the tokenizer adds the tokens that begin and end a text: a chat template writes
    them itself. `lengths` are those of prompts that are token ids.
    """

    texts: tuple[str, ...]
    special: bool = False
    lengths: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The texts, a line or more each."""
        return "\n".join(self.texts)


@dataclass(frozen=True, slots=True)
class Length:
    """The tokens of a request's prompt. `longest` are those of its longest text, which has to fit
    into the context; `text` is what the model reads, where that was asked for."""

    tokens: int
    longest: int
    text: str | None = None
