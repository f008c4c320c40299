"""Bodies of requests, and random texts of a given number of tokens, counted by the server."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ...errors import Code, EngineError, Failure, UsageError
from ...i18n import _, plural
from ...json_types import JsonObject
from ...sampling import Sampling
from .client import COMPLETIONS, BenchClient, BenchRequest

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
        return BenchRequest(path, self.encode(body))

    def encode(self, body: JsonObject) -> bytes:
        """Complete a body as `build` does."""
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
        return orjson.dumps(complete)

    def from_text(self, text: str) -> BenchRequest:
        """Build a request with one text as its prompt."""
        return self.build(self.path, prompt_body(text, self.path))


def prompt_body(text: str, endpoint: str) -> JsonObject:
    if endpoint == COMPLETIONS:
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


@dataclass(frozen=True, slots=True)
class PrefixShape:
    """So many different beginnings, of so many tokens each, that prompts share."""

    tokens: int = 0
    number: int = 1


NO_PREFIX = PrefixShape()


@dataclass(slots=True)
class RandomPrompts:
    """Texts of random words with different beginnings, so that no prefix cache applies; or, with
    `prefix`, with beginnings that several share.

    `token_counts` are the tokens of each word, `tokens` those of all words of a text, without the
    chat template, `first_word` and the prefix.
    """

    tokens: int
    seed: int = 0
    token_counts: Mapping[str, int] = field(
        default_factory=lambda: {f" {word}": 1 for word in _VOCABULARY.split()}
    )
    first_word: str = "Text:"
    filler: str = " a"
    prefix: PrefixShape = NO_PREFIX

    def generate(self) -> Iterator[str]:
        """Yield texts without end."""
        rng = random.Random(self.seed)  # noqa: S311 - the same texts for a seed
        vocabulary = list(self.token_counts)
        number = self.prefix.number if self.prefix.tokens else 1
        prefixes = [self._words(self.prefix.tokens, vocabulary, rng) for _n in range(number)]
        while True:
            prefix = rng.choice(prefixes) if number > 1 else prefixes[0]
            yield self.first_word + prefix + self._words(self.tokens, vocabulary, rng)

    def _words(self, tokens: int, vocabulary: Sequence[str], rng: random.Random) -> str:
        words = list[str]()
        while tokens > 0:
            word = rng.choice(vocabulary)
            if self.token_counts[word] > tokens:
                words.append(self.filler * tokens)
                break
            words.append(word)
            tokens -= self.token_counts[word]
        return "".join(words)


async def random_prompts(
    client: BenchClient,
    template: RequestTemplate,
    tokens: int,
    seed: int,
    prefix: PrefixShape = PrefixShape(),
) -> tuple[RandomPrompts, list[str]]:
    """Prompts of `tokens` tokens each, chat template included, after those of their prefix; and
    notes on how they are counted.

    The server's /tokenize counts them; without it, words are counted. Raises `UsageError` if the
    template alone is longer.
    """
    count = TokenCounter(client, template)
    try:
        texts, note = await _exact_length(count, tokens, seed, prefix)
    except EngineError:
        text = _(
            "The server does not count tokens (/tokenize): prompts are of {n} words; their tokens "
            "are reported below."
        )
        texts = RandomPrompts(tokens - 1, seed, prefix=prefix)
        note = text.format(n=tokens + prefix.tokens)
    notes = [note]
    if prefix.tokens:
        text = plural(
            "All begin with the same {tokens} tokens.",
            "Each begins with one of {n} prefixes of {tokens} tokens.",
            prefix.number,
        )
        notes.append(text.format(n=prefix.number, tokens=prefix.tokens))
    return texts, notes


async def _exact_length(
    count: "TokenCounter", tokens: int, seed: int, prefix: PrefixShape
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
    texts = RandomPrompts(tokens - overhead, seed, token_counts, filler=filler, prefix=prefix)
    note = _("Prompts of {n} tokens, chat template included, counted by the server.")
    return texts, note.format(n=await count(next(texts.generate())))


class TokenCounter:
    """Counts the tokens of a text by the server's /tokenize. Raises `EngineError` or
    `UsageError`."""

    def __init__(self, client: BenchClient, template: RequestTemplate) -> None:
        self._client = client
        self._url = client.endpoint.base_url.removesuffix("/v1") + "/tokenize"
        self._template = template

    async def __call__(self, text: str) -> int:
        """Count a prompt, with the chat template around it."""
        body = orjson.loads(self._template.from_text(text).body)
        keys = ("model", "prompt", "messages", "chat_template_kwargs")
        return await self._count({key: body[key] for key in keys if key in body})

    async def bare(self, text: str) -> int:
        """Count a text alone."""
        prompt = {"prompt": text, "add_special_tokens": False}
        return await self._count({"model": self._template.model, **prompt})

    async def _count(self, body: JsonObject) -> int:
        response = await self._client.json("POST", self._url, body)
        count = response.get("count") if isinstance(response, dict) else None
        if not isinstance(count, int):
            text = _("/tokenize returned no count")
            raise self._client.to_exception(Failure(Code.BAD_RESPONSE, text))
        return count
