"""Questions from Python: `ask`, `Client` and their async twins, which `qchat` offers.

Settings, profiles and keys are those of the command line. Failures are raised as `QchatError`:
`UsageError` for what is wrong here, `client.ServerError` for what a server answers.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..errors import Code, Failure, UsageError
from ..i18n import _
from ..json_types import JsonObject
from ..sampling import RANGES, Sampling
from ..settings import load
from .answers import Answer, AnswerBuilder, AnswerStream, answer_of_body
from .async_client import AsyncClient
from .client import Client as HttpClient
from .client import ServerError
from .endpoint import Endpoint, resolve
from .local_servers import local_server
from .models import server_model, single_model
from .reasoning import split_reasoning
from .stream import StreamProgress, missing_end

Messages = Sequence[Mapping[str, Any]]
Prompt = str | Messages
"""A question, or the messages of a conversation: mappings with `role` and `content`."""

_SAMPLING = (*RANGES, "stop", "thinking", "extra_body", "preset")
_WRONG_FORMAT = (TypeError, AttributeError, KeyError, IndexError)


def ask(
    prompt: Prompt,
    *,
    system: str | None = None,
    server: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    model: str | None = None,
    **sampling: Any,
) -> Answer:
    """Ask one question, as `qchat ask` does; see `Client` for the parameters.

    Opens a connection for this question alone: for several, keep a `Client`.
    """
    with Client(server=server, base_url=base_url, api_key_env=api_key_env, model=model) as client:
        return client.ask(prompt, system=system, **sampling)


async def aask(
    prompt: Prompt,
    *,
    system: str | None = None,
    server: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    model: str | None = None,
    **sampling: Any,
) -> Answer:
    """`ask` for programs with an event loop."""
    async with Client(
        server=server, base_url=base_url, api_key_env=api_key_env, model=model
    ) as client:
        return await client.aask(prompt, system=system, **sampling)


class Client:
    """A server to ask, with defaults for all questions.

    `server` is a profile's name, `base_url` an address, `api_key_env` the name of the variable that
    holds its key; without any, the settings decide as for `qchat ask`, at last the server that runs
    here. `model` may be left out where there is one. `sampling` are `max_tokens` (generated tokens,
    thinking included), `temperature`, `top_p`, `top_k`, `min_p`, `presence_penalty`,
    `frequency_penalty`, `repetition_penalty`, `seed`, `stop` (a text or several), `thinking`
    (True or False), `preset` and `extra_body` (further keys of the request).

    The methods may be called from several threads, the async ones from any event loop. Use it in a
    ``with`` or ``async with``, or call `close`. Raises `UsageError` for what contradicts itself.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        base_url: str | None = None,
        api_key_env: str | None = None,
        model: str | None = None,
        system: str | None = None,
        **sampling: Any,
    ) -> None:
        self._settings = load()
        self._endpoint = resolve(
            self._settings, server=server, base_url=base_url, api_key_env=api_key_env
        )
        self._model = model
        self._system = system
        defaults = Sampling(preset=self._settings.preset)
        self._sampling = _sampling(sampling).merged_over(defaults)
        self._lock = threading.Lock()
        self._http: HttpClient | None = None
        self._connections: dict[asyncio.AbstractEventLoop, AsyncGenerator[AsyncClient]] = {}
        self._async_clients: dict[asyncio.AbstractEventLoop, AsyncClient] = {}

    @property
    def base_url(self) -> str:
        """The server's address. Raises `EngineError` where none is named and none runs here."""
        return self._server().base_url

    def ask(self, prompt: Prompt, *, system: str | None = None, **sampling: Any) -> Answer:
        """Ask a question and return the whole answer. Raises `ServerError`."""
        return self.chat(_messages(prompt, self._system if system is None else system), **sampling)

    def chat(self, messages: Messages, **sampling: Any) -> Answer:
        """Return the answer to a conversation. Raises `ServerError`."""
        client = self._client()
        body = self._body(messages, sampling, self._model_name(client))
        started = time.monotonic()
        return _answer(client.complete(body), started, client.endpoint)

    def stream(self, prompt: Prompt, *, system: str | None = None, **sampling: Any) -> AnswerStream:
        """Ask a question; iterate over the pieces of the answer. Raises `ServerError`."""
        client = self._client()
        messages = _messages(prompt, self._system if system is None else system)
        body = self._body(messages, sampling, self._model_name(client))
        builder = AnswerBuilder()
        return AnswerStream(builder, pieces=_pieces(client, _streamed(body), builder))

    def models(self) -> list[str]:
        """The names of the models that the server offers. Raises `ServerError`."""
        return [str(model["id"]) for model in self._client().models()]

    async def aask(self, prompt: Prompt, *, system: str | None = None, **sampling: Any) -> Answer:
        """`ask` for programs with an event loop."""
        messages = _messages(prompt, self._system if system is None else system)
        return await self.achat(messages, **sampling)

    async def achat(self, messages: Messages, **sampling: Any) -> Answer:
        """`chat` for programs with an event loop."""
        client = await self._async_client()
        body = self._body(messages, sampling, await self._async_model_name(client))
        started = time.monotonic()
        return _answer(await client.complete(body), started, client.endpoint)

    def astream(
        self, prompt: Prompt, *, system: str | None = None, **sampling: Any
    ) -> AnswerStream:
        """`stream` for programs with an event loop: ``async for piece in client.astream(...)``."""
        messages = _messages(prompt, self._system if system is None else system)
        builder = AnswerBuilder()
        pieces = self._async_pieces(messages, sampling, builder)
        return AnswerStream(builder, async_pieces=pieces)

    async def _async_pieces(
        self, messages: Messages, sampling: Mapping[str, Any], builder: AnswerBuilder
    ) -> AsyncIterator[str]:
        client = await self._async_client()
        body = self._body(messages, sampling, await self._async_model_name(client))
        builder.started = time.monotonic()
        async with contextlib.aclosing(client.stream(_streamed(body))) as chunks:
            async for chunk in chunks:
                for piece in _take(builder, chunk, client.endpoint):
                    yield piece
        _check_end(builder.progress, client.endpoint)
        builder.end()
        for piece in builder.take():
            yield piece

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.__exit__()

    async def aclose(self) -> None:
        """Close the connections of this event loop, too."""
        self.close()
        connections = self._connections.get(asyncio.get_running_loop())
        if connections is not None:
            await connections.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _server(self) -> Endpoint:
        with self._lock:
            if self._endpoint is None:
                self._endpoint = local_server(self._settings)
            return self._endpoint

    def _client(self) -> HttpClient:
        endpoint = self._server()
        with self._lock:
            if self._http is None:
                self._http = HttpClient(endpoint)
            return self._http

    async def _async_client(self) -> AsyncClient:
        loop = asyncio.get_running_loop()
        endpoint = (
            await asyncio.to_thread(self._server) if self._endpoint is None else self._endpoint
        )
        # No `await` from here on that gives way to another task, so that a loop has one.
        if loop not in self._async_clients:
            self._connections[loop] = connections = self._connect(loop, endpoint)
            await anext(connections)
        return self._async_clients[loop]

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint
    ) -> AsyncGenerator[AsyncClient]:
        """Yield a client of the running loop once. It is closed with the generator, which `aclose`
        does, or else the loop at its end: `asyncio.run` closes all generators that are open."""
        client = self._async_clients[loop] = AsyncClient(endpoint)
        try:
            yield client
        finally:
            del self._async_clients[loop], self._connections[loop]
            await client.close()

    def _model_name(self, client: HttpClient) -> str:
        if self._model is None:
            self._model = client.endpoint.model or server_model(client, "model")
        return self._model

    async def _async_model_name(self, client: AsyncClient) -> str:
        if self._model is None:
            url = client.endpoint.base_url
            self._model = client.endpoint.model or single_model(
                list(dict.fromkeys(await client.models())), url, "model"
            )
        return self._model

    def _body(self, messages: Messages, sampling: Mapping[str, Any], model: str) -> JsonObject:
        values = dict(sampling)
        model = values.pop("model", None) or model
        filled = _sampling(values).merged_over(self._sampling)
        return filled.fill({"model": model, "messages": [dict(one) for one in messages]})


def _sampling(values: Mapping[str, Any]) -> Sampling:
    """The parameters by name. Raises `UsageError` for one that there is not, or out of range."""
    for name in values:
        if name not in _SAMPLING:
            import difflib

            text = _(
                "There is no parameter {name!r}; put what the server alone knows in extra_body."
            )
            message = text.format(name=name)
            if near := difflib.get_close_matches(name, _SAMPLING, n=1):
                message += " " + _("Did you mean {near!r}?").format(near=near[0])
            raise UsageError(message)
    stop = values.get("stop")
    return Sampling(
        **{name: values.get(name) for name in RANGES},
        stop=(stop,) if isinstance(stop, str) else (tuple(stop) if stop else None),
        thinking=values.get("thinking"),
        extra=dict(values.get("extra_body") or {}),
        preset=values.get("preset"),
    )


def _messages(prompt: Prompt, system: str | None) -> Messages:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise UsageError(_("The question is empty."))
        prompt = [{"role": "user", "content": prompt}]
    if system is None:
        return prompt
    return [{"role": "system", "content": system}, *prompt]


def _answer(body: JsonObject, started: float, endpoint: Endpoint) -> Answer:
    try:
        choice = body["choices"][0]
        parts = split_reasoning(choice["message"])
        reason = choice.get("finish_reason")
    except _WRONG_FORMAT as error:
        message = _("the response does not have the format of the chat API")
        raise ServerError(Failure(Code.BAD_RESPONSE, message), endpoint) from error
    return answer_of_body(
        body,
        parts.content,
        reasoning=parts.reasoning,
        finish_reason=reason,
        seconds=time.monotonic() - started,
    )


def _streamed(body: JsonObject) -> JsonObject:
    return {"stream_options": {"include_usage": True}, **body}


def _pieces(client: HttpClient, body: JsonObject, builder: AnswerBuilder) -> Iterator[str]:
    builder.started = time.monotonic()
    with contextlib.closing(client.stream(body)) as chunks:
        for chunk in chunks:
            yield from _take(builder, chunk, client.endpoint)
    _check_end(builder.progress, client.endpoint)
    builder.end()
    yield from builder.take()


def _take(builder: AnswerBuilder, chunk: JsonObject, endpoint: Endpoint) -> list[str]:
    try:
        builder.add(chunk)
    except _WRONG_FORMAT as error:
        message = _("a chunk does not have the format of the chat API")
        raise ServerError(Failure(Code.BAD_RESPONSE, message), endpoint) from error
    return builder.take()


def _check_end(progress: StreamProgress, endpoint: Endpoint) -> None:
    """Raise `ServerError` for a stream that ended before its answer did."""
    if (failure := missing_end(progress)) is not None:
        raise ServerError(failure, endpoint)
