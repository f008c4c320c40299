"""Everything that `batch/` uses of vLLM, in one file.

None of what is used here is declared stable by vLLM: `vllm_entry_points` is the table of where each
version has it, and tests/e2e/test_offline_engine.py runs each part on the real thing. What is only
there for speed (`_optimize`) is left out where a private name of vLLM's is missing. Importing this
file does not import vLLM; calling its functions does.
"""

import contextlib
import functools
import inspect
import io
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

from ...engine.runtime.vllm_entry_points import load
from ...engine.runtime.vllm_startup import Options, forked_engines
from ...errors import Code, Failure, QchatError, UsageError, from_status
from ...i18n import _
from ...json_types import JsonObject
from ..inputs.endpoints import SHAPES
from ..request import CHAT, COMPLETIONS, dumps
from .asgi_call import post


def parse_options(options: Options) -> Any:
    """Parse vLLM's options with its own parser. Raises `UsageError` for one that it refuses."""
    parser = load("make_arg_parser")(load("FlexibleArgumentParser")(prog="vllm"))
    validate = load("validate_parsed_serve_args")
    line: list[str] = []
    for name, value in options.items():
        line += [f"--{name}"] if value == "" else [f"--{name}", value]
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            arguments = parser.parse_args(line)
        validate(arguments)
    except SystemExit:
        cause = stderr.getvalue().rpartition("error: ")[2].strip().rstrip(".")
        raise UsageError(_("vLLM refuses an option: {cause}.").format(cause=cause)) from None
    except (TypeError, ValueError) as error:
        cause = str(error).rstrip(".")
        raise UsageError(_("vLLM refuses an option: {cause}.").format(cause=cause)) from error
    return arguments


def engine_config(arguments: Any) -> Any:
    """Build the engine's whole configuration; reads the model's config, loads no weights.

    `UsageContext.LLM_CLASS`, because vLLM's defaults for the number of sequences and tokens in a
    step come from a table with that key: others fall to those of a chat server.
    """
    engine_args = load("AsyncEngineArgs").from_cli_args(arguments)
    return engine_args.create_engine_config(load("UsageContext").LLM_CLASS)


def start_engine(config: Any, *, forked: bool) -> Any:
    """Start an `AsyncLLM`; blocks until the engine process is ready, 3 s or minutes.

    `forked` starts the engine process from the fork server (see `vllm_startup`).
    """
    usage_context = load("UsageContext").LLM_CLASS
    with forked_engines() if forked else contextlib.nullcontext():
        return load("AsyncLLM").from_vllm_config(
            config, usage_context=usage_context, disable_log_stats=True
        )


Handler = Callable[[JsonObject], Awaitable[JsonObject | Failure]]
"""Takes a request body; returns the body that vLLM's server would send, or what it reports."""

_log = logging.getLogger("vllm.qchat")  # below vLLM's own, so that its handler writes it


async def create_handlers(engine: Any, arguments: Any) -> Mapping[str, Handler]:
    """What vLLM's server does at each endpoint that this model has, by the endpoint's path.

    Chat and completions call vLLM's serving classes, the others the server's routes.
    """
    from starlette.datastructures import State

    chat_request, completion_request = load("ChatCompletionRequest"), load("CompletionRequest")
    init_app_state = load("init_app_state")
    _optimize(engine)
    tasks = await engine.get_supported_tasks()
    state = State()
    await init_app_state(engine, state, arguments, tasks)
    # A model for embeddings has neither.
    chat = getattr(state, "openai_serving_chat", None)
    completion = getattr(state, "openai_serving_completion", None)
    server = _Server(lambda: _application(engine, arguments, tasks, state))
    handlers: dict[str, Handler] = {
        path: server.handler(path) for path in SHAPES if path not in (CHAT, COMPLETIONS)
    }
    if chat is not None:

        async def handle_chat(body: JsonObject) -> JsonObject | Failure:
            request = chat_request.model_validate(_detecting_loops(chat_request, body))
            _renders_inline.set(_prompt_characters(body) <= SHORT)
            return response_body(await chat.create_chat_completion(request))

        handlers[CHAT] = handle_chat
    if completion is not None:

        async def handle_completion(body: JsonObject) -> JsonObject | Failure:
            request = completion_request.model_validate(_detecting_loops(completion_request, body))
            return response_body(await completion.create_completion(request))

        handlers[COMPLETIONS] = handle_completion
    return handlers


class _Server:
    """vLLM's server as an application that nobody serves, built when the first row needs it: that
    takes a second, and most runs need chat alone."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = functools.cache(build)

    def handler(self, path: str) -> Handler:
        """Return what the server does at a path."""

        async def handle(body: JsonObject) -> JsonObject | Failure:
            application = self._build()
            if application is None or path not in _paths(application.routes):
                text = _("This model does not answer at {endpoint}.")
                return Failure(Code.UNSUPPORTED, text.format(endpoint=path))
            # vLLM takes the key that its own server asks for from the environment.
            key = os.environ.get("VLLM_API_KEY")
            headers = {"authorization": f"Bearer {key}"} if key else {}
            status, answer = await post(application, path, dumps(body), headers)
            if status != 200:
                return from_status(status, answer)
            if isinstance(answer, dict):
                return answer
            return Failure(Code.BAD_RESPONSE, _("The answer is no JSON object."), 200)

        return handle


def _application(engine: Any, arguments: Any, tasks: Any, state: Any) -> Any:
    """vLLM's server with this state; None where this version has it elsewhere."""
    try:
        build = load("build_app")
    except (QchatError, ImportError) as error:
        _warn_missing("the endpoints other than chat and completions", str(error))
        return None
    parameters = inspect.signature(build).parameters
    more = {"supported_tasks": tasks, "model_config": engine.vllm_config.model_config}
    application = build(arguments, **{name: more[name] for name in more if name in parameters})
    application.state = state
    return application


def _paths(routes: Any) -> set[str]:
    """The paths of routes, those of routers that newer versions of FastAPI keep as a whole too."""
    paths: set[str] = set()
    for route in routes:
        paths.add(getattr(route, "path", ""))
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        paths |= _paths(getattr(inner, "routes", None) or ())
    return paths


LOOP: Mapping[str, int] = {"max_pattern_size": 16, "min_pattern_size": 1, "min_count": 64}
"""`repetition_detection` of each request that has none of its own: the same 1 to 16 tokens 64
times in a row end an answer (`finish_reason` ``repetition``). Longer patterns cost more time for
every token, and fewer repetitions occur in tables and numbers."""


def _detecting_loops(request_class: Any, body: JsonObject) -> JsonObject:
    """The body with `LOOP`, where this vLLM has that parameter."""
    name = "repetition_detection"
    if name in body or name not in request_class.model_fields:
        return body
    return {**body, name: LOOP}


def _optimize(engine: Any) -> None:
    """Patch private parts of vLLM for speed; a part that another version lacks stays as it is."""
    patches: Mapping[str, Callable[[], None]] = {
        "the cache of reasoning parsers' tables": _cache_parser_tables,
        "the cache of decoded tokens": _cache_token_texts,
        "rendering short prompts in the event loop": lambda: _render_inline(engine),
    }
    for name, patch in patches.items():
        try:
            patch()
        except (ImportError, AttributeError) as error:
            _warn_missing(name, str(error))


@functools.cache  # once, not at each start of an engine
def _warn_missing(name: str, reason: str) -> None:
    _log.warning("This vLLM runs without %s, and more slowly: %s", name, reason)


def _check_signature(function: Any, *parameters: str) -> None:
    """Raises `AttributeError` unless `function` takes exactly these parameters."""
    actual = tuple(inspect.signature(function).parameters)
    if actual != parameters:
        raise AttributeError(f"{function.__qualname__} takes {', '.join(actual)}")


SHORT = 4000
"""Characters of a prompt up to which it is rendered in the loop itself: 1 to 2 ms at most."""

_renders_inline: ContextVar[bool] = ContextVar("_renders_inline", default=False)


def _prompt_characters(body: JsonObject) -> int:
    """Of the messages' texts; parts of a message count as long, as they may be pictures."""
    texts = [message.get("content") or "" for message in body["messages"]]
    return sum(len(text) if isinstance(text, str) else SHORT + 1 for text in texts)


def render_in_loop(engine: Any) -> None:
    """Render all prompts of `engine`'s renderer in the calling thread, from now on and in the tasks
    that this one starts, as fast as this vLLM lets us."""
    _optimize(engine)
    _renders_inline.set(True)


def _render_inline(engine: Any) -> None:
    """Render short prompts in the calling thread, others in vLLM's thread pool.

    Handing a short one over and back took longer than rendering it, and its two threads
    kept each other waiting: 5% more rows/s of 32 tokens on two cores without.
    """
    executor = engine.renderer._executor
    pool = getattr(executor, "_inner", executor)  # before 0.32, it is the pool itself
    submit_to_pool = pool.submit

    def submit(function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not _renders_inline.get():
            pooled: Future[Any] = submit_to_pool(function, *args, **kwargs)
            return pooled
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    pool.submit = submit


def _cache_parser_tables() -> None:
    """Build the tables of a model's reasoning parser once instead of three times for each answer.

    They depend on the parser's configuration and the tokenizer alone, and took a tenth of this
    process's time for answers of 32 tokens.
    """
    import vllm.parser.engine.streaming_parser_engine as parser_engine

    build = parser_engine._build_drop_info
    if hasattr(build, "cache_clear"):
        return
    _check_signature(build, "config", "tokenizer")
    tables: dict[tuple[int, int], tuple[Any, Any, Any]] = {}

    def cached_build(config: Any, tokenizer: Any) -> Any:
        key = id(config), id(tokenizer)
        if key not in tables:
            # With both objects, so that no other can get their ids.
            tables[key] = config, tokenizer, build(config, tokenizer)
        return tables[key][2]

    cached_build.cache_clear = tables.clear  # type: ignore[attr-defined]
    parser_engine._build_drop_info = cached_build


def _cache_token_texts() -> None:
    """Decode each token of the vocabulary once, not once for each answer that it occurs in.

    vLLM's reasoning parser goes through an answer token by token to count those of the reasoning,
    with a table of its own for each answer: a tenth of this process's time for 32 tokens.
    """
    from vllm.parser.engine.token_id_scanner import TokenIDScanner

    original = TokenIDScanner.__init__
    if hasattr(original, "texts_by_tokenizer"):
        return
    _check_signature(original, "self", "token_id_to_terminal", "tokenizer")
    if "_token_text_cache" not in original.__code__.co_names:
        raise AttributeError("TokenIDScanner has no _token_text_cache")
    texts: dict[int, tuple[Any, dict[int, str]]] = {}

    def init(self: Any, token_id_to_terminal: Any, tokenizer: Any) -> None:
        original(self, token_id_to_terminal, tokenizer)
        # With the tokenizer, so that no other can get its id.
        self._token_text_cache = texts.setdefault(id(tokenizer), (tokenizer, {}))[1]

    init.texts_by_tokenizer = texts  # type: ignore[attr-defined]
    TokenIDScanner.__init__ = init


def response_body(response: Any) -> JsonObject | Failure:
    """The body that vLLM's server would send for `response`, or the failure it reports."""
    body: JsonObject = response.model_dump()
    if isinstance(response, load("ErrorResponse")):
        return from_status(response.error.code, body)
    return body


def failure_of(error: Exception) -> Failure:
    """The failure that vLLM's server would answer for an exception of its serving classes."""
    from pydantic import ValidationError

    if isinstance(error, load("EngineDeadError")):
        text = _("The engine has stopped; its log says why.")
        return Failure(Code.ENGINE_DEAD, text)
    if isinstance(error, load("EngineGenerateError")):
        cause = error.__cause__ or error
        return Failure(Code.SERVER_ERROR, str(cause) or type(cause).__name__, 500)
    if isinstance(error, ValidationError):
        return Failure(Code.INVALID_REQUEST, _first_validation_error(error), 400)
    answer = load("create_error_response")(error)
    return from_status(answer.error.code, answer.model_dump())


def _first_validation_error(error: Any) -> str:
    """The path to the first invalid field and its error: ``messages.0.role: Field required``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Pydantic names the branches of a union in the path too; only names of fields say something.
    path = ".".join(
        str(part)
        for part in first["loc"]
        if not isinstance(part, str) or (part.isidentifier() and part.islower())
    )
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def is_dead(engine: Any) -> bool:
    """Whether the engine process has ended or failed for good."""
    return bool(engine.errored)
