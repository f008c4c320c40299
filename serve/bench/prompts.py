"""What a bench asks: lines of a file, or random texts of a number of tokens."""

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
from ...sampling import PARAMETERS, Sampling
from .client import CHAT, COMPLETIONS, BenchClient, BenchRequest

Row = tuple[str, JsonObject]  # an OpenAI path, and the body for it without model and stream

_WORDS = """
time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government
number night point home water room mother area money story fact month lot right study book
eye job word business issue side kind head house service friend father power hour game line
end member law car city community name president team minute idea kid body information back
parent face others level office door health person art war history party result change
morning reason research girl guy moment air teacher force education foot boy age policy music
"""

_FILLERS = (" a", " 1", ".", "!", "a")  # one of them is a single token anywhere


@dataclass(frozen=True, slots=True)
class Shape:
    """How a request body is made: for which endpoint and model, with what parameters.

    `output_tokens` are generated exactly where the server knows ``ignore_eos``; `options` are the
    keys that not every server takes.
    """

    path: str
    model: str
    sampling: Sampling
    output_tokens: int | None = None
    options: tuple[str, ...] = ("stream_options", "ignore_eos")

    def ask(self, path: str, body: JsonObject) -> BenchRequest:
        """A whole request from its messages or prompt and its own parameters."""
        filled = self.sampling.fill(body)
        filled["model"] = self.model
        filled["stream"] = True
        if "stream_options" in self.options:
            filled["stream_options"] = {"include_usage": True}
        if self.output_tokens is not None:
            filled.pop("max_completion_tokens", None)
            filled["max_tokens"] = self.output_tokens
            if "ignore_eos" in self.options:
                filled["ignore_eos"] = True
        return BenchRequest(path, orjson.dumps(filled))

    def text(self, text: str) -> BenchRequest:
        """A request with one text."""
        return self.ask(self.path, _asking(text, self.path))


def dataset(path: Path, endpoint: str) -> list[Row]:
    """The rows of a JSONL file; those with a text alone are for `endpoint`.

    A line is an OpenAI batch line, ``{"messages": […]}``, ``{"prompt": "…"}`` or a JSON string;
    parameters beside these go along. Raises `UsageError` naming file and line.
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
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=e.strerror)) from e
    if not rows:
        raise UsageError(_("{file} has no lines.").format(file=path))
    return rows


def _row(value: Any, endpoint: str) -> Row:
    """Raises `ValueError` in a few words."""
    if isinstance(value, str):
        return endpoint, _asking(value, endpoint)
    if not isinstance(value, dict):
        raise ValueError(_("neither an object nor text"))
    if isinstance(value.get("body"), dict):
        path = value.get("url")
        if path not in (CHAT, COMPLETIONS):
            text = _("the url must be {chat} or {completions}, for a bench streams")
            raise ValueError(text.format(chat=CHAT, completions=COMPLETIONS))
        return path, value["body"]
    parameters = {key: value[key] for key in PARAMETERS & value.keys()}
    if isinstance(value.get("messages"), list):
        return CHAT, {**parameters, "messages": value["messages"]}
    if isinstance(value.get("prompt"), str):
        return endpoint, {**parameters, **_asking(value["prompt"], endpoint)}
    raise ValueError(_("no body, messages or prompt in it"))


def _asking(text: str, endpoint: str) -> JsonObject:
    if endpoint == COMPLETIONS:
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


@dataclass(slots=True)
class RandomTexts:
    """Texts of random words that begin differently, so that no prefix cache knows them.

    `costs` are tokens of each word, `room` the tokens that words can take beside the template's
    and the first word's.
    """

    room: int
    seed: int = 0
    costs: Mapping[str, int] = field(
        default_factory=lambda: {f" {word}": 1 for word in _WORDS.split()}
    )
    first: str = "Text:"
    filler: str = " a"

    def texts(self) -> Iterator[str]:
        """For ever."""
        chance = random.Random(self.seed)  # noqa: S311 - no secret: the same texts again
        words = list(self.costs)
        while True:
            left, text = self.room, [self.first]
            while left > 0:
                word = chance.choice(words)
                if self.costs[word] > left:
                    text.append(self.filler * left)
                    break
                text.append(word)
                left -= self.costs[word]
            yield "".join(text)


async def random_texts(
    client: BenchClient, shape: Shape, tokens: int, seed: int
) -> tuple[RandomTexts, str]:
    """Texts whose prompts have `tokens` tokens, template included, and a note for the person.

    The server's /tokenize counts; where it does not, words do. Raises `UsageError` where the
    template alone is longer.
    """
    count = _Counter(client, shape)
    try:
        return await _exact(count, tokens, seed)
    except EngineError:
        note = _(
            "The server's /tokenize does not count: prompts are of {n} words; below is what that "
            "was in tokens."
        )
        return RandomTexts(tokens - 1, seed), note.format(n=tokens)


async def _exact(count: "_Counter", tokens: int, seed: int) -> tuple[RandomTexts, str]:
    first = RandomTexts(0).first
    try:
        empty = await count(first)
    except UsageError as e:  # so short a text is not at fault: the question is not understood
        raise EngineError(str(e)) from e
    if tokens < empty:
        text = _("--input-len: the shortest prompt of this model has {n} tokens.")
        raise UsageError(text.format(n=empty))
    words = [f" {word}" for word in _WORDS.split()]
    found = await asyncio.gather(*(count(first + word) for word in words))
    costs = {word: tokens - empty for word, tokens in zip(words, found, strict=True)}
    filler = " a"
    for candidate in _FILLERS:
        if await count(first + " time" + candidate * 8) == empty + costs[" time"] + 8:
            filler = candidate
            break
    texts = RandomTexts(tokens - empty, seed, costs, filler=filler)
    note = _("Prompts of {n} tokens, template included, as the server counts.")
    return texts, note.format(n=await count(next(texts.texts())))


class _Counter:
    """Tokens of a text, as the server counts them for this endpoint."""

    def __init__(self, client: BenchClient, shape: Shape) -> None:
        self._client = client
        self._url = client.endpoint.base_url.removesuffix("/v1") + "/tokenize"
        self._shape = shape

    async def __call__(self, text: str) -> int:
        body = orjson.loads(self._shape.text(text).body)
        kept = ("model", "prompt", "messages", "chat_template_kwargs")
        answer = await self._client.json("POST", self._url, {k: body[k] for k in kept if k in body})
        count = answer.get("count") if isinstance(answer, dict) else None
        if not isinstance(count, int):
            said = _("/tokenize gave no count")
            raise self._client.error(Failure(Code.BAD_RESPONSE, said))
        return count


def texts_of(texts: RandomTexts, shape: Shape) -> Iterator[BenchRequest]:
    """Requests with these texts, for ever."""
    return map(shape.text, texts.texts())


def rows_of(rows: Sequence[Row], shape: Shape) -> Iterator[BenchRequest]:
    """Requests of these rows, from the beginning again after the last."""
    return itertools.cycle([shape.ask(path, body) for path, body in rows])
