"""The patches on private parts of vLLM, on a stand-in: used where they fit, left out elsewhere."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from qchat.batch.engines import vllm_adapter as adapter
from qchat.batch.request import CHAT

from qchat.engine.runtime import vllm_entry_points


class TokenIDScanner:
    """As vLLM's: a table of decoded tokens of its own for each answer."""

    def __init__(self, token_id_to_terminal: Any, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._token_text_cache: dict[int, str] = {}

    def text(self, token: int) -> str:
        if token not in self._token_text_cache:
            self._token_text_cache[token] = self.tokenizer(token)
        return self._token_text_cache[token]


class OtherScanner:
    """As another version may have it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer


class RenamedTable:
    """As another version may have it."""

    def __init__(self, token_id_to_terminal: Any, tokenizer: Any) -> None:
        self.table: dict[int, str] = {}


def answer_of(thread: int) -> Any:
    """A response of vLLM's, with the number of a thread."""
    return SimpleNamespace(model_dump=lambda: {"thread": thread})


class Vllm:
    """The modules that the adapter imports, and an engine."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.builds = 0
        self.pool = ThreadPoolExecutor(1)
        self.engine = SimpleNamespace(
            get_supported_tasks=self.tasks,
            renderer=SimpleNamespace(_executor=SimpleNamespace(_inner=self.pool)),
        )
        self.parser = ModuleType("streaming_parser_engine")
        self.parser._build_drop_info = self.build_drop_info  # type: ignore[attr-defined]
        self.scanner = ModuleType("token_id_scanner")
        self.scanner.TokenIDScanner = type(  # type: ignore[attr-defined]
            "TokenIDScanner", (TokenIDScanner,), {}
        )
        modules: dict[str, Any] = {
            "starlette.datastructures": SimpleNamespace(State=SimpleNamespace),
            "vllm.entrypoints.launchers.api_server.app_state": SimpleNamespace(
                init_app_state=self.init_app_state
            ),
            "vllm.entrypoints.openai.chat_completion.protocol": SimpleNamespace(
                ChatCompletionRequest=SimpleNamespace(model_validate=dict, model_fields={})
            ),
            "vllm.entrypoints.openai.completion.protocol": SimpleNamespace(
                CompletionRequest=SimpleNamespace(model_validate=dict, model_fields={})
            ),
            "vllm.entrypoints.serve.engine.protocol": SimpleNamespace(
                ErrorResponse=type("ErrorResponse", (), {})
            ),
            "vllm.parser.engine.streaming_parser_engine": self.parser,
            "vllm.parser.engine.token_id_scanner": self.scanner,
        }
        packages: dict[str, ModuleType] = {}
        for name in modules:
            parts = name.split(".")
            package = ModuleType(parts[0])
            for end in range(1, len(parts)):
                package = packages.setdefault(".".join(parts[:end]), ModuleType(parts[end - 1]))
                child = ".".join(parts[: end + 1])
                setattr(
                    package,
                    parts[end],
                    modules.get(child) or packages.setdefault(child, ModuleType(parts[end])),
                )
        for name, module in {**packages, **modules}.items():
            patch.setitem(sys.modules, name, module)

    def build_drop_info(self, config: Any, tokenizer: Any) -> Any:
        self.builds += 1
        return config, tokenizer

    async def tasks(self) -> tuple[str, ...]:
        return ("generate",)

    async def init_app_state(self, engine: Any, state: Any, *_args: Any) -> None:
        state.openai_serving_chat = SimpleNamespace(create_chat_completion=self.render)
        state.openai_serving_completion = None

    async def render(self, request: Any) -> Any:
        """A response with the thread that a prompt is rendered in."""
        executor: Executor = self.engine.renderer._executor._inner
        thread: int = executor.submit(threading.get_ident).result()
        return answer_of(thread)

    async def render_prompt(self, content: object) -> int:
        """The same, through the adapter."""
        handlers = await adapter.create_handlers(self.engine, None)
        body = {"messages": [{"role": "user", "content": content}]}
        answer = await asyncio.ensure_future(handlers[CHAT](body))
        assert isinstance(answer, dict)
        thread: int = answer["thread"]
        return thread


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vllm]:
    adapter._warn_missing.cache_clear()
    vllm_entry_points.load.cache_clear()
    stand_in = Vllm(monkeypatch)
    yield stand_in
    vllm_entry_points.load.cache_clear()
    stand_in.pool.shutdown()


async def test_only_short_prompts_are_rendered_in_the_loop(vllm: Vllm) -> None:
    here = threading.get_ident()
    assert await vllm.render_prompt("x" * adapter.SHORT) == here
    assert await vllm.render_prompt("x" * (adapter.SHORT + 1)) != here
    assert await vllm.render_prompt([{"type": "image_url"}]) != here


async def test_before_0_32_the_executor_is_the_pool_itself(vllm: Vllm) -> None:
    """`make_async` of vLLM has the pool by then, so it can't be replaced."""
    vllm.engine.renderer._executor = pool = vllm.pool

    async def render(_request: Any) -> Any:
        return answer_of(pool.submit(threading.get_ident).result())

    vllm.render = render  # type: ignore[method-assign]
    here = threading.get_ident()
    assert await vllm.render_prompt("x") == here
    assert await vllm.render_prompt("x" * (adapter.SHORT + 1)) != here


async def test_errors_of_rendering_and_a_shut_down_pool_reach_the_caller(vllm: Vllm) -> None:
    await vllm.render_prompt("x")
    executor: Executor = vllm.engine.renderer._executor._inner

    async def render(_request: Any) -> Any:
        return executor.submit(lambda: 1 / 0).result()

    vllm.render = render  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await vllm.render_prompt("x")
    executor.shutdown()
    with pytest.raises(RuntimeError):
        await vllm.render_prompt("x" * (adapter.SHORT + 1))


async def test_parser_tables_are_built_once(vllm: Vllm) -> None:
    await vllm.render_prompt("x")
    await vllm.render_prompt("x")  # of a second engine in this process
    config, tokenizer = object(), object()
    for _answer in range(3):
        assert vllm.parser._build_drop_info(config, tokenizer) == (config, tokenizer)
    assert vllm.builds == 1


async def test_tokens_are_decoded_once(vllm: Vllm) -> None:
    await vllm.render_prompt("x")
    decoded: list[int] = []

    def tokenizer(token: int) -> str:
        decoded.append(token)
        return str(token)

    for _answer in range(3):
        assert vllm.scanner.TokenIDScanner({}, tokenizer).text(7) == "7"
    assert decoded == [7]


def no_drop_info(vllm: Vllm) -> None:
    del vllm.parser._build_drop_info


def other_drop_info(vllm: Vllm) -> None:
    vllm.parser._build_drop_info = lambda config: config  # type: ignore[attr-defined]


def no_scanner(vllm: Vllm) -> None:
    del vllm.scanner.TokenIDScanner


def other_scanner(vllm: Vllm) -> None:
    vllm.scanner.TokenIDScanner = OtherScanner  # type: ignore[attr-defined]


def renamed_table(vllm: Vllm) -> None:
    vllm.scanner.TokenIDScanner = RenamedTable  # type: ignore[attr-defined]


def no_parser_module(_vllm: Vllm) -> None:
    sys.modules["vllm.parser.engine.streaming_parser_engine"] = None  # type: ignore[assignment]


def no_renderer(vllm: Vllm) -> None:
    del vllm.engine.renderer._executor
    vllm.render = lambda _request: asyncio.sleep(0, answer_of(1))  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize(
    ("change", "part", "reason"),
    [
        (no_drop_info, "reasoning parsers' tables", "_build_drop_info"),
        (other_drop_info, "reasoning parsers' tables", "takes config"),
        (no_parser_module, "reasoning parsers' tables", "streaming_parser_engine"),
        (no_scanner, "decoded tokens", "TokenIDScanner"),
        (other_scanner, "decoded tokens", "takes self, tokenizer"),
        (renamed_table, "decoded tokens", "_token_text_cache"),
        (no_renderer, "rendering short prompts", "_executor"),
    ],
)
async def test_a_missing_private_name_costs_its_speed_alone(
    vllm: Vllm,
    change: Callable[[Vllm], None],
    part: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    change(vllm)
    with caplog.at_level(logging.WARNING, "vllm.qchat"):
        await vllm.render_prompt("x")
        thread = await vllm.render_prompt("x")  # of a second engine in this process
    assert thread == (1 if change is no_renderer else threading.get_ident())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert part in record.getMessage() and reason in record.getMessage()
