"""The length of each row's prompt: by tokenizer and template where that is all, else by vLLM."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ...engine.models import hub_cache
from ...engine.runtime.vllm_startup import installed_vllm
from ...errors import EngineError
from ..background import WorkCounter
from ..request import Request
from .plain import is_plain, is_plain_model
from .prompts import Length, Prompt
from .tokens import TokenCounter
from .vllm_prompts import VllmPrompts

Result = Length | ValueError | None
"""None: the prompt can't be counted. `ValueError`: it can't be made."""


class PromptCounter:
    """Counts the tokens of prompts for one model.

    `no_renderer` says why vLLM's renderer could not be used, once it was needed.
    """

    def __init__(self, tokens: TokenCounter, renderer: VllmPrompts, *, plain_model: bool) -> None:
        self.no_renderer: str | None = None
        self._tokens = tokens
        self._renderer = renderer
        self._plain_model = plain_model

    @classmethod
    def load(
        cls, model: str, options: dict[str, str], log: Path, report: Callable[[str], None]
    ) -> "PromptCounter":
        """Load the tokenizer of `model` (from `locate_model`). Raises `UsageError`.

        `report` is told where something long begins.
        """
        tokens = TokenCounter.load(model)
        folder = model if Path(model).is_dir() else hub_cache.snapshot(model, os.environ)
        plain = folder is not None and is_plain_model(str(folder), options)
        return cls(tokens, VllmPrompts(model, options, log, report), plain_model=plain)

    @property
    def context(self) -> int | None:
        """The longest context in tokens, by vLLM where that was asked."""
        return self._renderer.context or self._tokens.context

    def close(self) -> None:
        """End vLLM's renderer."""
        self._renderer.close()

    def render(self, requests: Sequence[Request]) -> list[Prompt | ValueError | None]:
        """Return the prompts of the plain requests; None for the others."""
        prompts: list[Prompt | ValueError | None] = [None] * len(requests)
        plain = [at for at, row in enumerate(requests) if self._plain_model and is_plain(row)]
        rendered = self._tokens.render([requests[at] for at in plain])
        for at, prompt in zip(plain, rendered, strict=True):
            prompts[at] = prompt
        return prompts

    def count(
        self,
        requests: Sequence[Request],
        prompts: Sequence[Prompt | ValueError | None],
        with_text: Sequence[bool],
        counter: WorkCounter,
    ) -> list[Result]:
        """Return the length of each request's prompt, of which `render` returned the text.

        Raises `WorkCancelledError`.
        """
        results: list[Result] = [one if isinstance(one, ValueError) else None for one in prompts]
        texts = {at: one for at, one in enumerate(prompts) if isinstance(one, Prompt)}
        rest = [at for at, one in enumerate(prompts) if one is None]
        by_vllm = [at for at in rest if requests[at].endpoint in VllmPrompts.endpoints]
        if by_vllm and self._has_renderer():
            try:
                some = [(requests[at], with_text[at]) for at in by_vllm]
                for at, length in zip(by_vllm, self._renderer.lengths(some, counter), strict=True):
                    results[at] = length
                rest = [at for at in rest if results[at] is None]
            except EngineError as error:
                self.no_renderer = str(error)
        for at, prompt in zip(
            rest, self._tokens.render([requests[at] for at in rest]), strict=True
        ):
            if isinstance(prompt, Prompt):
                texts[at] = prompt
            else:
                results[at] = prompt
        for (at, prompt), counts in zip(
            texts.items(), self._tokens.count(list(texts.values())), strict=True
        ):
            results[at] = Length(*counts, prompt.text if with_text[at] else None)
        return results

    def _has_renderer(self) -> bool:
        if self.no_renderer is None:
            try:
                installed_vllm()
            except EngineError as error:
                self.no_renderer = str(error)
        return self.no_renderer is None
