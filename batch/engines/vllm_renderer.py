"""vLLM's renderer in a process of its own: what a model reads of each request, without weights.

`qchat batch --check` starts it as ``python -m qchat.batch.engines.vllm_renderer``. The first line
of its input says which model (`RenderJob`), each one after that is a list of requests; it writes a
line for each: what the renderer is, or a result for each request. vLLM's own output goes to a log.
"""

import asyncio
import gc
import inspect
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from ... import lifeline
from ...engine.runtime import vllm_startup
from ...engine.runtime.vllm_entry_points import load
from ...engine.runtime.vllm_model import locate_model, options_for
from ...json_types import JsonObject
from ..request import CHAT, COMPLETIONS, RESPONSES
from . import vllm_adapter as adapter
from .engine_log import redirect_output

ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES)
"""The endpoints whose prompts this renders."""

_NO_LIMIT = 1 << 40  # tokens: lengths are wanted, also of prompts beyond the context


class Renderer:
    """vLLM's renderer for a model: `context` is the longest one in tokens."""

    def __init__(self, online_renderer: Any, context: int) -> None:
        self.context = context
        self._renderer = online_renderer
        self._options: JsonObject = {}
        if "skip_mm_cache" in inspect.signature(online_renderer.render_chat).parameters:
            self._options["skip_mm_cache"] = True  # an engine would share the cache of pictures

    @classmethod
    async def create(cls, model: str, options: vllm_startup.Options) -> "Renderer":
        """Read config, tokenizer and template of `model` as vLLM's server would with `options`."""
        from starlette.datastructures import State

        model = locate_model(model)
        cpu = vllm_startup.installed_vllm().cpu
        options = {**options, **options_for(model, options, cpu=cpu), "model": model}
        arguments = adapter.parse_options(options)
        engine_args = load("AsyncEngineArgs").from_cli_args(arguments)
        model_config = engine_args.create_model_config()
        model_config.quantization = None  # no kernels are needed
        config = load("VllmConfig")(
            model_config=model_config,
            structured_outputs_config=engine_args.create_structured_outputs_config(),
        )
        state = State()
        await load("init_render_app_state")(config, state, arguments)
        context, model_config.max_model_len = model_config.max_model_len, _NO_LIMIT
        adapter.render_in_loop(SimpleNamespace(renderer=state.online_renderer.renderer))
        return cls(state.online_renderer, context)

    async def render(self, requests: Sequence[tuple[str, JsonObject, bool]]) -> list[JsonObject]:
        """Return a result for each (endpoint, body, with its text): ``tokens``, ``longest`` and
        ``text``, or the ``error`` that vLLM would answer."""
        return await asyncio.gather(*(self._render(*request) for request in requests))

    async def _render(self, endpoint: str, body: JsonObject, with_text: bool) -> JsonObject:
        try:
            inputs = await self._inputs(endpoint, body)
        except Exception as error:
            return {"error": adapter.failure_of(error).message}
        if isinstance(inputs, load("ErrorResponse")):
            return {"error": inputs.error.message}
        ids = [_token_ids(one) for one in inputs]
        result: JsonObject = {"tokens": sum(map(len, ids)), "longest": max(map(len, ids))}
        if with_text:
            decode = self._renderer.renderer.tokenizer.decode
            result["text"] = "\n".join(decode(one) for one in ids)
        return result

    async def _inputs(self, endpoint: str, body: JsonObject) -> Any:
        if endpoint == RESPONSES:
            request = load("ResponsesRequest").model_validate(body)
            result = await self._renderer.render_responses(request, **self._options)
            return [result.engine_input] if hasattr(result, "engine_input") else result
        if endpoint == COMPLETIONS:
            request = load("CompletionRequest").model_validate(body)
            return await self._renderer.render_completion(request, **self._options)
        request = load("ChatCompletionRequest").model_validate(body)
        result = await self._renderer.render_chat(request, **self._options)
        return result[1] if isinstance(result, tuple) else result


def _token_ids(engine_input: Any) -> Sequence[int]:
    """Return the token ids of an input of the engine; for embeddings, as many numbers."""
    for name in ("prompt_token_ids", "prompt_embeds"):
        if (values := engine_input.get(name)) is not None:
            return values if name == "prompt_token_ids" else range(len(values))
    return _token_ids(engine_input.get("decoder") or engine_input["encoder"])


async def _serve(lines: Any, write: Any) -> None:
    job = orjson.loads(lines.readline())
    renderer = await Renderer.create(job["model"], job["options"])
    gc.freeze()
    write({"context": renderer.context})
    # Nothing else runs in this loop, so that it may wait for a line.
    for line in iter(lines.readline, b""):
        write(await renderer.render(orjson.loads(line)))


def main() -> None:
    """Serve the parent process until it closes the pipe, or ends."""
    lifeline.die_with_parent(signal.SIGKILL, int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's Ctrl-C is the parent's
    with (
        redirect_output(Path(sys.argv[2])) as terminal,
        tempfile.TemporaryDirectory(prefix="qchat-render-") as folder,
    ):

        def write(value: Any) -> None:
            terminal.stdout.write(orjson.dumps(value).decode() + "\n")
            terminal.stdout.flush()

        vllm_startup.set_environment(Path(folder))
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = "0"  # there is no cache
        try:
            asyncio.run(_serve(sys.stdin.buffer, write))
        except Exception as error:
            import traceback

            traceback.print_exc()  # into the log
            write({"failed": str(error).strip().partition("\n")[0] or type(error).__name__})


if __name__ == "__main__":
    main()
