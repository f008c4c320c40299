"""Everything that the batch room takes from vLLM, in one file.

None of what is used here is declared stable by vLLM: `vllm_start.SUPPORTED` says which versions
were tested, and tests/e2e/test_offline_engine.py runs each part on the real thing. Importing this
file does not import vLLM; calling its functions does.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from typing import Any

from ...engine.vllm_startup import Options, forked_engines
from ...errors import Code, Failure, UsageError, from_status
from ...i18n import _
from ...json_types import JsonObject
from ..request import CHAT, COMPLETIONS


def parse_options(options: Options) -> Any:
    """vLLM's own options by its own parser. Raises `UsageError` for one that it refuses."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm"))
    line: list[str] = []
    for name, value in options.items():
        line += [f"--{name}"] if value == "" else [f"--{name}", value]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments = parser.parse_args(line)
        validate_parsed_serve_args(arguments)
    except SystemExit:
        why = said.getvalue().rpartition("error: ")[2].strip()
        raise UsageError(_("vLLM refuses an option: {why}.").format(why=why.rstrip("."))) from None
    except (TypeError, ValueError) as error:
        raise UsageError(
            _("vLLM refuses an option: {why}.").format(why=str(error).rstrip("."))
        ) from error
    return arguments


def engine_config(arguments: Any) -> Any:
    """The engine's whole configuration; reads the model's config, loads no weights.

    `UsageContext.LLM_CLASS`, because vLLM's defaults for the number of sequences and tokens in a
    step come from a table with that key: others fall to those of a chat server.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    return AsyncEngineArgs.from_cli_args(arguments).create_engine_config(UsageContext.LLM_CLASS)


def start_engine(config: Any, *, forked: bool) -> Any:
    """An `AsyncLLM`: blocks until the engine process is ready, 3 s or minutes.

    `forked` takes the engine process from the fork server (see `vllm_start`).
    """
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    with forked_engines() if forked else contextlib.nullcontext():
        return AsyncLLM.from_vllm_config(
            config, usage_context=UsageContext.LLM_CLASS, disable_log_stats=True
        )


Ask = Callable[[JsonObject], Any]


async def serving(engine: Any, arguments: Any) -> Mapping[str, Ask]:
    """vLLM's serving classes as one function per endpoint: body → response model or error."""
    from starlette.datastructures import State
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    _remember_lexers()
    _remember_tokens()
    executor = engine.renderer._executor
    executor._inner = _Renderer(executor._inner)
    state = State()
    await init_app_state(engine, state, arguments, await engine.get_supported_tasks())
    chat, completion = state.openai_serving_chat, state.openai_serving_completion
    found: dict[str, Ask] = {}
    if chat is not None:

        def ask_chat(body: JsonObject) -> Any:
            request = ChatCompletionRequest.model_validate(body)
            _renders_at_once.set(_characters(body) <= SHORT)
            return chat.create_chat_completion(request)

        found[CHAT] = ask_chat
    if completion is not None:
        found[COMPLETIONS] = lambda body: completion.create_completion(
            CompletionRequest.model_validate(body)
        )
    return found


SHORT = 4000
"""Characters of a prompt up to which it is rendered in the loop itself: 1 to 2 ms at most."""

_renders_at_once: ContextVar[bool] = ContextVar("_renders_at_once", default=False)


def _characters(body: JsonObject) -> int:
    """Of the messages' texts; parts of a message count as long, as they may be pictures."""
    texts = [message.get("content") or "" for message in body["messages"]]
    return sum(len(text) if isinstance(text, str) else SHORT + 1 for text in texts)


class _Renderer(Executor):
    """Where vLLM renders prompts: short ones at once, others in its pool of threads.

    Handing a short one over and back took longer than rendering it, and its two threads
    kept each other waiting: 5% more rows/s of 32 tokens on two cores without.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not _renders_at_once.get():
            return self._pool.submit(function, *args, **kwargs)
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def _remember_lexers() -> None:
    """Build the tables of a model's reasoning parser once instead of three times for each answer.

    They depend on the parser's configuration and the tokenizer alone, and took a tenth of this
    process's time for answers of 32 tokens.
    """
    import vllm.parser.engine.streaming_parser_engine as parser_engine

    build = parser_engine._build_drop_info
    if hasattr(build, "cache_clear"):
        return
    known: dict[tuple[int, int], tuple[Any, Any, Any]] = {}

    def remembered(config: Any, tokenizer: Any) -> Any:
        key = id(config), id(tokenizer)
        if key not in known:
            known[key] = config, tokenizer, build(config, tokenizer)  # kept, so ids stay theirs
        return known[key][2]

    remembered.cache_clear = known.clear  # type: ignore[attr-defined]
    parser_engine._build_drop_info = remembered


def _remember_tokens() -> None:
    """Decode each token of the vocabulary once, not once for each answer that it stands in.

    vLLM's reasoning parser goes through an answer token by token to count those of the thoughts,
    with a table of its own for each answer: a tenth of this process's time for 32 tokens.
    """
    from vllm.parser.engine.token_id_scanner import TokenIDScanner

    original = TokenIDScanner.__init__
    if hasattr(original, "known"):
        return
    known: dict[int, tuple[Any, dict[int, str]]] = {}

    def remembering(self: Any, token_id_to_terminal: Any, tokenizer: Any) -> None:
        original(self, token_id_to_terminal, tokenizer)
        # With the tokenizer, so that its id stays its own.
        self._token_text_cache = known.setdefault(id(tokenizer), (tokenizer, {}))[1]

    remembering.known = known  # type: ignore[attr-defined]
    TokenIDScanner.__init__ = remembering


def response_body(response: Any) -> JsonObject | Failure:
    """What vLLM's server would send for `response`, or the failure that it stands for."""
    from vllm.entrypoints.serve.engine.protocol import ErrorResponse

    body: JsonObject = response.model_dump()
    if isinstance(response, ErrorResponse):
        return from_status(response.error.code, body)
    return body


def failure_of(error: Exception) -> Failure:
    """What an exception out of vLLM's serving classes means, as its server would answer it."""
    from pydantic import ValidationError
    from vllm.entrypoints.serve import create_error_response
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    if isinstance(error, EngineDeadError):
        text = _("The engine has stopped; its log says why.")
        return Failure(Code.ENGINE_DEAD, text)
    if isinstance(error, EngineGenerateError):
        cause = error.__cause__ or error
        return Failure(Code.SERVER_ERROR, str(cause) or type(cause).__name__, 500)
    if isinstance(error, ValidationError):
        return Failure(Code.INVALID_REQUEST, _first_complaint(error), 400)
    answer = create_error_response(error)
    return from_status(answer.error.code, answer.model_dump())


def _first_complaint(error: Any) -> str:
    """Where a request body is wrong and how: ``messages.0.role: Field required``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Pydantic names the branches of a union in the path too; only names of fields say something.
    where = ".".join(
        str(part)
        for part in first["loc"]
        if not isinstance(part, str) or (part.isidentifier() and part.islower())
    )
    said = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


def is_dead(engine: Any) -> bool:
    """Whether the engine process has ended or failed for good."""
    return bool(engine.errored)
