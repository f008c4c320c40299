"""Requests read and answers made: plain values, no network.

The answers are deterministic. Unless a style says otherwise the content is ``echo: `` and the last
user message (or the prompt of a completion), so that a test can tell whose answer it holds. A
token is up to six characters with the white space before them; usage counts these. The JSON has
the fields and the order of vLLM 0.32.0 (entrypoints/openai/*/protocol.py).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .orders import Dress, ReasoningForm, Style

__all__ = [
    "ApiError",
    "Ask",
    "Choice",
    "context_error",
    "error_body",
    "make_choices",
    "model_error",
    "read_ask",
    "stream_events",
    "usage",
    "whole_body",
]

ESCAPES = (
    "\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07 \x1b]8;;http://x.example\x1b\\link"
    "\x1b]8;;\x1b\\ \u202egnp.exe\u202c 90%\r100% \x9b2J \x00\x08\x7f \x1b]unterminated"
)
MARKUP = (
    "[bold red]not markup[/bold red] [/] [@click=app.quit]quit[/] <script>alert(1)</script> "
    "$(id) `id` {0} %s {{7*7}} <|im_end|> [link=http://x.example]x[/link]"
)

_tokens = re.compile(r"\s*\S{1,6}|\s+").findall
_marker = re.compile(r"\[\[(fault|answer):([^\]]*)\]\]").findall


class ApiError(Exception):
    """A request that the API refuses, with the body that vLLM would send."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for an answer, read. ``key`` is a digest of the prompt, equal for each attempt."""

    chat: bool
    body: dict[str, Any]
    prompts: tuple[str, ...]
    key: str
    model: str
    stream: bool
    include_usage: bool
    n: int
    max_tokens: int | None
    prompt_tokens: int
    fault_marker: str | None
    answer_marker: str | None

    @property
    def prompt(self) -> str:
        """What the log knows the request by."""
        return "\n".join(self.prompts)


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, in tokens."""

    reasoning: Sequence[str]
    text: Sequence[str]
    tool: Mapping[str, Any] | None
    finish: str

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.text)


def error_body(status: int, message: str, kind: str, param: str | None = None) -> bytes:
    """An error in vLLM's shape."""
    return orjson.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": status}}
    )


def model_error(model: str, served: Sequence[str]) -> ApiError:
    message = f"The model `{model}` does not exist. Valid aliases: {', '.join(served)}."
    return ApiError(404, error_body(404, message, "NotFoundError", "model"))


def context_error(limit: int, tokens: int) -> ApiError:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your prompt contains "
        f"{tokens} input tokens, which exceeds this limit even without any output tokens. "
        "Please reduce the length of the input prompt."
    )
    return ApiError(400, error_body(400, message, "BadRequestError", "input_tokens"))


def _invalid(detail: str, param: str) -> ApiError:
    message = f"1 validation error:\n  {detail}"
    return ApiError(400, error_body(400, message, "Bad Request", param))


def read_ask(raw: bytes, *, chat: bool, models: Sequence[str], max_model_len: int) -> Ask:
    """The request in a body. Raises ApiError where vLLM would answer with an error."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"{{'type': 'json_invalid', 'msg': {str(error)!r}}}", "body") from None
    if not isinstance(body, dict):
        raise _invalid("{'type': 'model_attributes_type', 'loc': 'body'}", "body")
    model = body.get("model") or models[0]
    if model not in models:
        raise model_error(str(model), models)
    what = "messages" if chat else "prompt"
    prompt = body.get(what)
    prompts = _last_user_message(prompt) if chat else _prompts(prompt)
    whole = orjson.dumps(prompt)
    prompt_tokens = max(1, len(whole) // 6)
    max_tokens = body.get("max_completion_tokens") or body.get("max_tokens")
    if max_tokens is None and not chat:
        max_tokens = 16
    if max_tokens is not None and not isinstance(max_tokens, int):
        raise _invalid("{'type': 'int_parsing', 'loc': 'body.max_tokens'}", "body.max_tokens")
    if prompt_tokens > max_model_len:
        raise context_error(max_model_len, prompt_tokens)
    if max_tokens is not None and max_tokens > max_model_len:
        message = (
            f"max_tokens={max_tokens} cannot be greater than max_model_len={max_model_len}. "
            "Please request fewer output tokens."
        )
        raise ApiError(400, error_body(400, message, "BadRequestError", "max_tokens"))
    n = body.get("n") or 1
    if not isinstance(n, int):
        raise _invalid("{'type': 'int_parsing', 'loc': 'body.n'}", "body.n")
    options = body.get("stream_options")
    markers = dict(_marker(prompts[-1])) if "[[" in prompts[-1] else {}
    return Ask(
        chat=chat,
        body=body,
        prompts=prompts,
        key=hashlib.blake2b(whole, digest_size=12).hexdigest(),
        model=model,
        stream=bool(body.get("stream")),
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        n=n,
        max_tokens=max_tokens,
        prompt_tokens=prompt_tokens,
        fault_marker=markers.get("fault"),
        answer_marker=markers.get("answer"),
    )


def _last_user_message(messages: object) -> tuple[str]:
    if not isinstance(messages, list) or not messages:
        raise _invalid("{'type': 'missing', 'loc': 'body.messages'}", "body.messages")
    for message in reversed(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid("{'type': 'missing', 'loc': 'body.messages.role'}", "body.messages")
        if message["role"] == "user":
            return (_message_text(message.get("content")),)
    return (_message_text(messages[-1].get("content")),)


def _message_text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _prompts(prompt: object) -> tuple[str, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    if isinstance(prompt, list) and prompt:
        if all(isinstance(one, str) for one in prompt):
            return tuple(prompt)
        return (orjson.dumps(prompt).decode(),)
    raise _invalid("{'type': 'missing', 'loc': 'body.prompt'}", "body.prompt")


def make_choices(ask: Ask, style: Style) -> list[Choice]:
    """Every choice of the answer: ``n`` for each prompt; the second and later ones are numbered."""
    return [
        _make_choice(ask, style, prompt, number)
        for prompt in ask.prompts
        for number in range(ask.n)
    ]


def _make_choice(ask: Ask, style: Style, prompt: str, number: int) -> Choice:
    text = style.text if style.text is not None else f"echo: {prompt}"
    if number:
        text = f"{text} #{number + 1}"
    if style.dress is not Dress.PLAIN:
        text = f"{text} {ESCAPES if style.dress is Dress.ESCAPES else MARKUP}"
    tool = None
    if style.tool and ask.chat:
        arguments = orjson.dumps({"prompt": prompt}).decode()
        tool = {"name": style.tool, "arguments": arguments}
        text = ""
    thought = ""
    if style.reasoning is not ReasoningForm.NONE:
        thought = f"\nThe user says: {prompt}\n"
        text = f"\n\n{text}" if text else ""
        if style.reasoning in (ReasoningForm.INLINE, ReasoningForm.UNOPENED) or not ask.chat:
            opening = "" if style.reasoning is ReasoningForm.UNOPENED else "<think>"
            thought, text = "", f"{opening}{thought}</think>{text}"
    reasoning, tokens = _tokens(thought), _tokens(text)
    if style.length:
        tokens = tokens[: style.length]
        tokens += [f" w{number}" for number in range(len(tokens), style.length)]
    if begun := _begun(ask.body):
        whole = "".join(tokens)
        tokens = _tokens(whole[len(begun) :] if whole.startswith(begun) else f" {whole}")
    finish = "tool_calls" if tool else "stop"
    if ask.max_tokens is not None and len(reasoning) + len(tokens) > ask.max_tokens:
        reasoning = reasoning[: ask.max_tokens]
        tokens = tokens[: ask.max_tokens - len(reasoning)]
        finish = "length"
    return Choice(reasoning, tokens, tool, style.finish or finish)


def _begun(body: Mapping[str, Any]) -> str:
    """The beginning of an answer that is to be gone on with."""
    if not body.get("continue_final_message"):
        return ""
    return _message_text(body["messages"][-1].get("content"))


def usage(ask: Ask, choices: Sequence[Choice]) -> dict[str, Any]:
    completion = sum(choice.tokens for choice in choices)
    return {
        "prompt_tokens": ask.prompt_tokens,
        "total_tokens": ask.prompt_tokens + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
    }


def whole_body(
    ask: Ask, choices: Sequence[Choice], *, style: Style, attempt: int
) -> dict[str, Any]:
    """The answer in one piece."""
    made = _whole_chat_choice if ask.chat else _whole_text_choice
    return {
        "id": _id(ask, attempt),
        "object": "chat.completion" if ask.chat else "text_completion",
        "created": int(time.time()),
        "model": ask.model,
        "choices": [made(index, choice, ask, style) for index, choice in enumerate(choices)],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": usage(ask, choices),
        **({"prompt_logprobs": None, "prompt_token_ids": None} if ask.chat else {}),
        "kv_transfer_params": None,
    }


def _id(ask: Ask, attempt: int) -> str:
    return f"{'chatcmpl' if ask.chat else 'cmpl'}-{ask.key}-{attempt}"


def _field(style: Style) -> str:
    return "reasoning_content" if style.reasoning is ReasoningForm.OLD_FIELD else "reasoning"


def _whole_chat_choice(index: int, choice: Choice, ask: Ask, style: Style) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(choice.text) or None,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        _field(style): "".join(choice.reasoning) or None,
    }
    if choice.tool:
        message["tool_calls"] = [
            {"id": f"chatcmpl-tool-{ask.key}", "type": "function", "function": choice.tool}
        ]
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": choice.finish,
        "stop_reason": None,
        "token_ids": None,
    }


def _whole_text_choice(index: int, choice: Choice, ask: Ask, style: Style) -> dict[str, Any]:
    return {
        "index": index,
        "text": "".join(choice.text),
        "logprobs": None,
        "finish_reason": choice.finish,
        "stop_reason": None,
        "token_ids": None,
        "prompt_logprobs": None,
    }


def stream_events(
    ask: Ask, choices: Sequence[Choice], *, style: Style, attempt: int
) -> Iterator[tuple[bytes, int]]:
    """Every event of the stream with the tokens it brings; ``[DONE]`` is the last one."""
    head: dict[str, Any] = {
        "id": _id(ask, attempt),
        "object": "chat.completion.chunk" if ask.chat else "text_completion",
        "created": int(time.time()),
        "model": ask.model,
    }

    def event(one: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({**head, "choices": [one]}) + b"\n\n"

    parts = _chat_deltas if ask.chat else _text_deltas
    for index, choice in enumerate(choices):
        for delta, tokens in parts(choice, ask, style):
            finish = delta.pop("finish_reason", None)
            content = {"delta": delta} if ask.chat else delta
            one = {"index": index, **content, "logprobs": None, "finish_reason": finish}
            yield event(one), tokens
    if ask.include_usage:
        last = {**head, "choices": [], "usage": usage(ask, choices)}
        yield b"data: " + orjson.dumps(last) + b"\n\n", 0
    yield b"data: [DONE]\n\n", 0


def _chat_deltas(choice: Choice, ask: Ask, style: Style) -> Iterator[tuple[dict[str, Any], int]]:
    yield {"role": "assistant", "content": ""}, 0
    for piece in choice.reasoning:
        yield {_field(style): piece}, 1
    for piece in choice.text:
        yield {"content": piece}, 1
    if choice.tool:
        name, arguments = choice.tool["name"], choice.tool["arguments"]
        first = {"id": f"chatcmpl-tool-{ask.key}", "type": "function", "index": 0}
        yield {"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}, 0
        for half in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": half}}]}, 0
    yield {"content": "", "finish_reason": choice.finish}, 0


def _text_deltas(choice: Choice, ask: Ask, style: Style) -> Iterator[tuple[dict[str, Any], int]]:
    for piece in choice.text:
        yield {"text": piece}, 1
    yield {"text": "", "finish_reason": choice.finish}, 0
