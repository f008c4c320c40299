"""The prompts of a benchmark: rows of a dataset, or random texts of a given number of tokens."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ...errors import Code, EngineError, Failure, UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...request_schema import CHAT_PARAMETERS
from ...sampling import Sampling
from .client import CHAT, COMPLETIONS, BenchClient, BenchRequest

Row = tuple[str, JsonObject]  # an OpenAI path, and the body for it without model and stream

_VOCABULARY = """
time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government
number night point home water room mother area money story fact month lot right study book
eye job word business issue side kind head house service friend father power hour game line
end member law car city community name president team minute idea kid body information back
parent face others level office door health person art war history party result change
morning reason research girl guy moment air teacher force education foot boy age policy music
"""

_FILLERS = (" a", " 1", ".", "!", "a")  # at least one is a single token in any tokenizer


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """How to make request bodies: for which endpoint and model, with which parameters.

    Exactly `output_tokens` are generated if the server supports ``ignore_eos``;
    `optional_parameters` are the keys that some servers reject.
    """

    path: str
    model: str
    sampling: Sampling
    output_tokens: int | None = None
    optional_parameters: tuple[str, ...] = ("stream_options", "ignore_eos")

    def build(self, path: str, body: JsonObject) -> BenchRequest:
        """Build a request from a body with its messages or prompt and its own parameters."""
        complete = self.sampling.fill(body)
        complete["model"] = self.model
        complete["stream"] = True
        if "stream_options" in self.optional_parameters:
            complete["stream_options"] = {"include_usage": True}
        if self.output_tokens is not None:
            complete.pop("max_completion_tokens", None)
            complete["max_tokens"] = self.output_tokens
            if "ignore_eos" in self.optional_parameters:
                complete["ignore_eos"] = True
        return BenchRequest(path, orjson.dumps(complete))

    def from_text(self, text: str) -> BenchRequest:
        """Build a request with one text as its prompt."""
        return self.build(self.path, _prompt_body(text, self.path))


def read_dataset(path: Path, endpoint: str) -> list[Row]:
    """Read the rows of a JSONL file; those with only a text are sent to `endpoint`.

    A line is an OpenAI batch line, ``{"messages": […]}``, ``{"prompt": "…"}`` or a JSON string;
    sampling parameters beside these are used. Raises `UsageError` naming file and line.
    """
    import jsonlines

    rows = []
    try:
        with path.open("rb") as file:
            # Line by line, for jsonlines' own errors don't say which of the lines they mean.
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = jsonlines.Reader([line], loads=orjson.loads).read(allow_none=True)
                    rows.append(_row(value, endpoint))
                except ValueError as e:
                    text = _("{file}, line {n}: {why}.")
                    why = _("not valid JSON") if isinstance(e, jsonlines.InvalidLineError) else e
                    raise UsageError(text.format(file=path, n=number, why=why)) from e
    except OSError as e:
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=_(e.strerror))) from e
    if not rows:
        raise UsageError(_("{file} has no lines.").format(file=path))
    return rows


def _row(value: Any, endpoint: str) -> Row:
    """Parse a line. Raises `ValueError` with a phrase that says why not."""
    if isinstance(value, str):
        return endpoint, _prompt_body(value, endpoint)
    if not isinstance(value, dict):
        raise ValueError(_("neither an object nor text"))
    if isinstance(value.get("body"), dict):
        path = value.get("url")
        if path not in (CHAT, COMPLETIONS):
            text = _("the url must be {chat} or {completions}, which can stream")
            raise ValueError(text.format(chat=CHAT, completions=COMPLETIONS))
        return path, value["body"]
    parameters = {key: value[key] for key in CHAT_PARAMETERS & value.keys()}
    if isinstance(value.get("messages"), list):
        return CHAT, {**parameters, "messages": value["messages"]}
    if isinstance(value.get("prompt"), str):
        return endpoint, {**parameters, **_prompt_body(value["prompt"], endpoint)}
    raise ValueError(_("no body, messages or prompt in it"))


def _prompt_body(text: str, endpoint: str) -> JsonObject:
    if endpoint == COMPLETIONS:
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


@dataclass(slots=True)
class RandomPrompts:
    """Texts of random words with different beginnings, so that no prefix cache applies.

    `token_counts` are the tokens of each word, `tokens` those of all words of a text, without the
    chat template and `first_word`.
    """

    tokens: int
    seed: int = 0
    token_counts: Mapping[str, int] = field(
        default_factory=lambda: {f" {word}": 1 for word in _VOCABULARY.split()}
    )
    first_word: str = "Text:"
    filler: str = " a"

    def generate(self) -> Iterator[str]:
        """Yield texts without end."""
        rng = random.Random(self.seed)  # noqa: S311 - the same texts for a seed
        vocabulary = list(self.token_counts)
        while True:
            remaining, text = self.tokens, [self.first_word]
            while remaining > 0:
                word = rng.choice(vocabulary)
                if self.token_counts[word] > remaining:
                    text.append(self.filler * remaining)
                    break
                text.append(word)
                remaining -= self.token_counts[word]
            yield "".join(text)


async def random_prompts(
    client: BenchClient, template: RequestTemplate, tokens: int, seed: int
) -> tuple[RandomPrompts, str]:
    """Prompts of `tokens` tokens each, chat template included, and a note on how they are counted.

    The server's /tokenize counts them; without it, words are counted. Raises `UsageError` if the
    template alone is longer.
    """
    count = _TokenCounter(client, template)
    try:
        return await _exact_length(count, tokens, seed)
    except EngineError:
        note = _(
            "The server does not count tokens (/tokenize): prompts are of {n} words; their tokens "
            "are reported below."
        )
        return RandomPrompts(tokens - 1, seed), note.format(n=tokens)


async def _exact_length(
    count: "_TokenCounter", tokens: int, seed: int
) -> tuple[RandomPrompts, str]:
    first = RandomPrompts(0).first_word
    try:
        overhead = await count(first)
    except UsageError as e:  # the request format, not so short a text, is rejected
        raise EngineError(str(e)) from e
    if tokens < overhead:
        text = _("--input-len: the shortest prompt of this model has {n} tokens.")
        raise UsageError(text.format(n=overhead))
    vocabulary = [f" {word}" for word in _VOCABULARY.split()]
    counts = await asyncio.gather(*(count(first + word) for word in vocabulary))
    token_counts = {
        word: tokens - overhead for word, tokens in zip(vocabulary, counts, strict=True)
    }
    filler = " a"
    for candidate in _FILLERS:
        if await count(first + " time" + candidate * 8) == overhead + token_counts[" time"] + 8:
            filler = candidate
            break
    texts = RandomPrompts(tokens - overhead, seed, token_counts, filler=filler)
    note = _("Prompts of {n} tokens, chat template included, counted by the server.")
    return texts, note.format(n=await count(next(texts.generate())))


class _TokenCounter:
    """Counts the tokens of a text by the server's /tokenize."""

    def __init__(self, client: BenchClient, template: RequestTemplate) -> None:
        self._client = client
        self._url = client.endpoint.base_url.removesuffix("/v1") + "/tokenize"
        self._template = template

    async def __call__(self, text: str) -> int:
        body = orjson.loads(self._template.from_text(text).body)
        keys = ("model", "prompt", "messages", "chat_template_kwargs")
        response = await self._client.json(
            "POST", self._url, {k: body[k] for k in keys if k in body}
        )
        count = response.get("count") if isinstance(response, dict) else None
        if not isinstance(count, int):
            text = _("/tokenize returned no count")
            raise self._client.to_exception(Failure(Code.BAD_RESPONSE, text))
        return count


def requests_from_texts(texts: RandomPrompts, template: RequestTemplate) -> Iterator[BenchRequest]:
    """Yield requests with these texts, without end."""
    return map(template.from_text, texts.generate())


def requests_from_rows(rows: Sequence[Row], template: RequestTemplate) -> Iterator[BenchRequest]:
    """Yield requests of these rows, repeated without end."""
    return itertools.cycle([template.build(path, body) for path, body in rows])
