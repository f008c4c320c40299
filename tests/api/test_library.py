"""Questions from Python: `ask`, `Client` and their async twins."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import qchat
from qchat import Answer, Client, QchatError, aask, ask
from qchat.api import library
from qchat.api.async_client import AsyncClient
from qchat.api.client import ServerError
from qchat.api.endpoint import Endpoint
from qchat.errors import UsageError
from tests import faults


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[faults.Running]:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    for name in ("QCHAT_SERVER", "QCHAT_MODEL", "QCHAT_PRESET", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with faults.running() as running:
        yield running


def test_what_it_offers() -> None:
    assert qchat.__all__ == [
        "Answer",
        "AnswerStream",
        "Client",
        "QchatError",
        "__version__",
        "aask",
        "ask",
    ]
    for name in qchat.__all__:
        assert getattr(qchat, name).__doc__ or name == "__version__", name
    with pytest.raises(AttributeError):
        qchat.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_ask_returns_a_text_with_what_came_beside_it(server: faults.Running) -> None:
    answer = ask("Hello", base_url=server.base_url, system="Be brief.", temperature=0.5)
    assert isinstance(answer, str) and answer == "echo: Hello"
    assert isinstance(answer, Answer) and answer.content == "echo: Hello"
    assert answer.model == "demo" and answer.finish_reason == "stop" and not answer.is_cut
    assert answer.usage.completion_tokens > 0 and answer.usage.total_tokens > 0
    assert answer.seconds > 0 and answer.raw["object"] == "chat.completion"
    body = server.log.records[-1].body
    assert body["temperature"] == 0.5
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_reasoning_stands_apart(server: faults.Running) -> None:
    server.set_answers("reasoning=inline")
    answer = ask("Hello", base_url=server.base_url)
    assert answer.reasoning and answer == "echo: Hello"


def test_defaults_of_the_client_and_of_one_question(server: faults.Running) -> None:
    with Client(base_url=server.base_url, max_tokens=7, stop="END", system="S") as client:
        client.ask("a")
        client.ask("b", max_tokens=9, thinking=False, extra_body={"priority": 3})
        client.chat([{"role": "user", "content": "c"}])
    first, second, third = (
        r.body for r in server.log.records if r.path.endswith("chat/completions")
    )
    assert first["max_tokens"] == 7 and first["stop"] == ["END"]
    assert second["max_tokens"] == 9 and second["priority"] == 3
    assert second["chat_template_kwargs"] == {"enable_thinking": False}
    assert [m["role"] for m in third["messages"]] == ["user"]


def test_a_stream_yields_pieces_and_ends_with_the_answer(server: faults.Running) -> None:
    server.set_answers("length=12")
    with Client(base_url=server.base_url) as client:
        stream = client.stream("Hello")
        pieces = list(stream)
        assert len(pieces) > 1 and "".join(pieces) == stream.answer
        assert stream.answer.usage.completion_tokens > 0
        assert stream.answer.first_token_seconds is not None
        early = client.stream("Hello")
        first = next(early)
        early.close()
        assert early.answer.startswith(first)


async def test_the_async_twins(server: faults.Running) -> None:
    assert await aask("Hello", base_url=server.base_url) == "echo: Hello"
    server.set_answers("length=12")
    async with Client(base_url=server.base_url) as client:
        answers = await asyncio.gather(*(client.aask(f"q{n}") for n in range(5)))
        assert len(answers) == 5
        stream = client.astream("Hello")
        pieces = [piece async for piece in stream]
        assert "".join(pieces) == stream.answer
        assert (await client.achat([{"role": "user", "content": "x"}])).model == "demo"


def test_a_client_outlives_an_event_loop(server: faults.Running) -> None:
    client = Client(base_url=server.base_url)
    for _loop in range(2):
        assert asyncio.run(client.aask("Hello")) == "echo: Hello"
    client.close()


class Connections:
    """How many clients were made and how many of them are closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = self.closed = 0
        counts = self

        class Counted(AsyncClient):
            def __init__(self, endpoint: Endpoint) -> None:
                super().__init__(endpoint)
                counts.made += 1

            async def close(self) -> None:
                await super().close()
                counts.closed += 1

        monkeypatch.setattr(library, "AsyncClient", Counted)


async def test_questions_at_the_same_time_share_connections(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(monkeypatch)
    async with Client(base_url=server.base_url) as client:
        await asyncio.gather(*(client.aask(f"q{n}") for n in range(5)))
        assert (connections.made, connections.closed) == (1, 0)
        stream = client.astream("Hello")
        async for _piece in stream:
            break
    assert (connections.made, connections.closed) == (1, 1)


def test_the_connections_of_each_loop_end_with_it(
    server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two loops at the same time have one client each; nobody closes it."""
    connections = Connections(monkeypatch)
    client = Client(base_url=server.base_url)
    together = threading.Barrier(2)

    async def ask_twice() -> None:
        for question in ("a", "b"):
            await asyncio.to_thread(together.wait, 30)
            assert await client.aask(question) == f"echo: {question}"

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(asyncio.run, ask_twice()) for _thread in range(2)]:
            done.result()
    assert (connections.made, connections.closed) == (2, 2)
    client.close()


def test_failures_are_told(server: faults.Running) -> None:
    with pytest.raises(UsageError, match="Did you mean 'temperature'"):
        ask("a", base_url=server.base_url, temprature=1)
    with pytest.raises(UsageError, match="empty"):
        ask(" ", base_url=server.base_url)
    with pytest.raises(ServerError) as caught:
        ask("a [[fault:400]]", base_url=server.base_url)
    assert isinstance(caught.value, QchatError) and caught.value.failure.status == 400
    with pytest.raises(ServerError):
        ask("a", base_url="http://127.0.0.1:9", model="demo")
    with Client(base_url=server.base_url) as client, pytest.raises(ServerError):
        list(client.stream("cut [[fault:cut_stream]]"))


def test_a_profile_of_the_settings_is_used(server: faults.Running, tmp_path: Path) -> None:
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'preset = "fast"\n[servers.lab]\nbase_url = "{server.base_url}"\n')
    with Client() as client:
        assert client.base_url == server.base_url
        client.ask("Hello")
    assert server.log.records[-1].body["max_tokens"] == 50
