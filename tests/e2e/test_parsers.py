"""The chosen parsers are vLLM's, and read what the models write."""

import json
import re
from functools import cache
from typing import Any

import pytest

from qchat import demo
from qchat.engine.models.parser_choice import choose_parsers
from tests.engine.model_dialects import (
    ARGUMENTS,
    DIALECTS,
    HERMES_ANSWER,
    TOOL,
    XML_ANSWER,
    Dialect,
)

pytestmark = pytest.mark.vllm

# Marks that are single tokens in the models' own tokenizers.
_TOKENS = re.compile(
    r"<[|｜][^<>]*?[|｜]>|<\|tool_call>|<tool_call\|>|<\|\"\|>|\[TOOL_CALLS\]|</?minimax:tool_call>"
    r"|</?arg_key>|</?arg_value>"
)


@cache
def tokenizer() -> Any:
    """The demo model's tokenizer with the marks of all families."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(str(demo.path()))
    marks = {mark for dialect in DIALECTS for mark in _TOKENS.findall(dialect.answer)}
    loaded.add_tokens(sorted(marks | {"<|python_tag|>"}), special_tokens=True)
    return loaded


def calls(parser: str, answer: str) -> list[tuple[str, Any]]:
    """The tool calls that vLLM's parser of this name reads in an answer."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    message = {"role": "user", "content": "What is the weather in Paris?"}
    request = ChatCompletionRequest(model="m", messages=[message], tools=[TOOL])
    tool_parser = ToolParserManager.get_tool_parser(parser)(tokenizer(), tools=request.tools)
    read = tool_parser.extract_tool_calls(answer, request)
    return [(call.function.name, json.loads(call.function.arguments)) for call in read.tool_calls]


def test_vllm_has_all_of_them() -> None:
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    choices = [choose_parsers(dialect.template, dialect.added_tokens) for dialect in DIALECTS]
    tools = {choice.tool_parser for choice in choices} - {None}
    reasoning = {choice.reasoning_parser for choice in choices} - {None}
    assert len(tools) > 15 and tools <= set(ToolParserManager.list_registered())
    assert len(reasoning) > 8 and reasoning <= set(ReasoningParserManager.list_registered())


@pytest.mark.parametrize(
    "dialect", [one for one in DIALECTS if one.answer], ids=lambda dialect: dialect.name
)
def test_tool_calls_are_read(dialect: Dialect) -> None:
    parser = choose_parsers(dialect.template, dialect.added_tokens).tool_parser
    assert parser is not None
    assert calls(parser, dialect.answer) == [("get_weather", ARGUMENTS)]


def test_one_form_is_not_the_other() -> None:
    assert calls("hermes", XML_ANSWER) == []
    assert calls("qwen3_coder", HERMES_ANSWER) == []


@pytest.mark.parametrize("parser", ["qwen3", "deepseek_r1", "glm45", "kimi_k2", "minimax_m2"])
def test_reasoning_is_read(parser: str) -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.reasoning import ReasoningParserManager

    request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "Hello"}])
    reader = ReasoningParserManager.get_reasoning_parser(parser)(tokenizer())
    reasoning, content = reader.extract_reasoning("<think>I greet.</think>Hello!", request)
    assert (reasoning, content) == ("I greet.", "Hello!")
