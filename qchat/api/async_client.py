"""The async twin of `client.Client`, for programs with an event loop of their own."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import openai

from ..errors import Code, Failure, QchatError
from ..i18n import _
from ..json_types import JsonObject
from .client import (
    CONNECT_SECONDS,
    SILENCE_SECONDS,
    ServerError,
    failure_of,
    set_request_headers,
)
from .endpoint import Endpoint


class _AsyncStream(openai.AsyncStream[object]):
    """The SDK parses every event as JSON; blank ones are keep-alives of some proxies."""

    async def _iter_events(self) -> AsyncIterator[Any]:
        async for event in super()._iter_events():
            if event.data.strip():
                yield event


class AsyncClient:
    """A client of one server within one event loop; the rules are those of `Client`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http = openai.DefaultAsyncHttpxClient(
            trust_env=False,
            proxy=endpoint.proxy,
            follow_redirects=False,
            timeout=openai.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            event_hooks={"request": [self._only_our_headers]},
        )
        self._sdk = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key="none",  # not sent: the hook above sets what is
            max_retries=0,
            http_client=self._http,
        )

    async def _only_our_headers(self, request: Any) -> None:
        set_request_headers(request, self.endpoint)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def models(self) -> list[str]:
        """The names that ``GET /models`` lists. Raises `ServerError`."""
        try:
            response = await self._sdk.get("/models", cast_to=object)
        except Exception as e:
            raise self._error(e) from e
        data = response.get("data") if isinstance(response, dict) else None
        if not isinstance(data, list):
            message = _("The response is not a list of models.")
            raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
        return [str(model["id"]) for model in data if isinstance(model, dict) and "id" in model]

    async def complete(self, body: JsonObject) -> JsonObject:
        """A chat completion that is not streamed, decoded and unchecked. Raises `ServerError`."""
        try:
            response = await self._sdk.post("/chat/completions", body=body, cast_to=object)
        except Exception as e:
            raise self._error(e) from e
        if not isinstance(response, dict):
            message = _("The response is not a JSON object.")
            raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
        return response

    async def stream(self, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """The chunks of a chat completion, decoded and unchecked. Raises `ServerError`."""
        try:
            stream = await self._sdk.post(
                "/chat/completions",
                body={**body, "stream": True},
                cast_to=object,
                stream=True,
                stream_cls=_AsyncStream,
            )
            async with stream:
                async for chunk in stream:
                    if not isinstance(chunk, dict):
                        message = _("A chunk is not a JSON object.")
                        raise ServerError(Failure(Code.BAD_RESPONSE, message), self.endpoint)
                    yield chunk
        except QchatError:
            raise
        except Exception as e:
            raise self._error(e) from e

    def _error(self, error: Exception) -> Exception:
        failure = failure_of(error)
        return error if failure is None else ServerError(failure, self.endpoint)
