"""The demo model's files and corpus, as they are shipped; no engine is started here."""

import ast
import json
import os
import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qchat import demo
from qchat.demo.out_of_domain import FALLBACK, out_of_domain_question
from tests import tools

PAIRS = demo.pairs()
EXAMPLES = Path(__file__).parent.parent / "examples" / "questions.jsonl"

# Every prompt of the API guide's examples, word for word, with what stands before it.
GUIDE: list[list[tuple[str, str]]] = [
    [("user", "你好，请介绍一下自己")],
    [
        ("system", "你是一个专业的AI助手"),
        ("user", "什么是机器学习？"),
        ("assistant", "机器学习是人工智能的一个分支..."),
        ("user", "能给我举个具体例子吗？"),
    ],
    [("user", "写一首关于春天的诗")],
    [("user", "解释一下量子计算的基本原理")],
    [("system", "你是一个helpful的AI助手"), ("user", "帮我写一个Python排序算法")],
    [("user", "请详细介绍一下深度学习的发展历程")],
    [("user", "什么是区块链技术？")],
    [("system", "你是一个专业的编程助手"), ("user", "帮我写一个JavaScript的快速排序算法")],
    [("user", "Hello")],
]


def tagged(tag: str) -> list[demo.Pair]:
    return [pair for pair in PAIRS if tag in pair.tags]


def named(pairs: list[demo.Pair]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", pairs, ids=lambda pair: pair.id)


def blocks(pair: demo.Pair, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", pair.content, re.DOTALL | re.MULTILINE)


def test_path_is_a_complete_checkpoint_under_8_mb() -> None:
    files = {file.name: file.stat().st_size for file in demo.path().iterdir()}
    assert files.keys() >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    assert sum(files.values()) < 8 * 1024 * 1024


def test_weights_are_bf16_and_their_shape_is_qwen3s() -> None:
    config = json.loads((demo.path() / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert config["max_position_embeddings"] == demo.CONTEXT_LENGTH
    with (demo.path() / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    assert {tensor["dtype"] for tensor in header.values()} == {"BF16"}
    assert "model.layers.0.self_attn.q_norm.weight" in header
    assert "lm_head.weight" not in header  # tied to the embedding


def test_the_model_is_greedy_by_default() -> None:
    settings = json.loads((demo.path() / "generation_config.json").read_text("utf-8"))
    assert settings["temperature"] == 0.0


def test_importing_the_demo_loads_nothing_heavy() -> None:
    program = "import sys, qchat.demo; qchat.demo.pairs(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "vllm", "transformers", "tokenizers"} & set(loaded)


def test_corpus_is_large_enough_and_well_formed() -> None:
    assert len(PAIRS) >= 120
    ids = [pair.id for pair in PAIRS]
    assert len(set(ids)) == len(ids)
    for pair in PAIRS:
        assert pair.content or pair.tool_calls, pair.id
        assert pair.content == pair.content.strip(), pair.id
        assert pair.messages[-1]["role"] in {"user", "tool"}, pair.id
        assert {"en", "zh"} & pair.tags, pair.id


def test_no_text_holds_a_control_or_markup_token() -> None:
    special = re.compile(r"<\|\w+\|>|</?(?:think|tool_call|tool_response)>")
    for pair in PAIRS:
        texts = [str(message.get("content") or "") for message in pair.messages]
        assert not any(map(special.search, [*texts, pair.content, pair.reasoning])), pair.id


def test_no_request_has_two_answers() -> None:
    pair_of_request: dict[str, str] = {}
    for pair in PAIRS:
        modes = (True, False) if pair.enable_thinking is None else (pair.enable_thinking,)
        for mode in modes:
            request = json.dumps([pair.messages, pair.tools, mode])
            assert request not in pair_of_request, (
                f"{pair.id} asks the same as {pair_of_request[request]}"
            )
            pair_of_request[request] = pair.id


@pytest.mark.parametrize("expected", GUIDE, ids=lambda messages: messages[-1][1])
def test_every_prompt_of_the_guide_is_there(expected: list[tuple[str, str]]) -> None:
    corpus_messages = [[(m["role"], m["content"]) for m in pair.messages] for pair in PAIRS]
    assert expected in corpus_messages


def test_all_kinds_of_answers_are_there() -> None:
    assert tagged("poem")
    assert any("|---|" in pair.content for pair in PAIRS)
    assert any("🎉" in pair.content for pair in PAIRS)
    assert any("$$" in pair.content for pair in PAIRS)
    assert any("- [ ] " in pair.content for pair in PAIRS)
    assert any("\n    - " in pair.content for pair in PAIRS)
    assert any(blocks(pair, "javascript") for pair in PAIRS)
    assert len({call.name for pair in PAIRS for call in pair.tool_calls}) >= 2
    assert any(pair.messages[-1]["role"] == "tool" for pair in PAIRS)
    assert any(len(pair.messages) >= 5 for pair in tagged("en"))


def test_thinking_pairs_have_a_direct_twin() -> None:
    thinking = [pair for pair in PAIRS if pair.reasoning]
    direct = {pair.messages[-1]["content"] for pair in PAIRS if pair.enable_thinking is False}
    assert thinking
    for pair in thinking:
        assert pair.enable_thinking is True
        assert pair.prompt in direct


def test_tool_calls_fit_the_tools_of_their_request() -> None:
    jsonschema = tools.require_module("jsonschema")
    for pair in PAIRS:
        offered = {tool["function"]["name"]: tool["function"] for tool in pair.tools}
        for call in pair.tool_calls:
            jsonschema.validate(dict(call.arguments), offered[call.name]["parameters"])


@named([pair for pair in PAIRS if pair.schema])
def test_json_satisfies_its_schema(pair: demo.Pair) -> None:
    jsonschema = tools.require_module("jsonschema")
    jsonschema.validate(json.loads(pair.content), pair.schema)


def test_some_answers_are_json() -> None:
    assert [pair for pair in PAIRS if pair.schema]


@named([pair for pair in PAIRS if blocks(pair, "python")])
def test_python_blocks_compile(pair: demo.Pair) -> None:
    for block in blocks(pair, "python"):
        ast.parse(block)


@pytest.mark.parametrize(
    ("id", "printed"),
    [
        ("guide-python-sort", "[1, 2, 5, 9]"),
        ("primes", "[2, 3, 5, 7, 11, 13, 17, 19]"),
        ("fibonacci", "55"),
        ("binary-search-zh", "3"),
        ("count-words", "[('the', 2), ('quick', 1)]"),
    ],
)
def test_python_blocks_print_what_they_say(id: str, printed: str) -> None:
    (pair,) = (pair for pair in PAIRS if pair.id == id)
    (block,) = blocks(pair, "python")
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == printed
    assert f"# {printed}" in block


def test_examples_are_in_the_corpus() -> None:
    corpus_prompts = {
        json.dumps([(m["role"], m["content"]) for m in pair.messages])
        for pair in PAIRS
        if pair.enable_thinking is not False and not pair.tools
    }
    rows = [json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines()]
    assert 20 <= len(rows) <= 30
    assert {type(row) for row in rows} == {dict, str}
    for row in rows:
        if isinstance(row, str):
            row = {"prompt": row}
        messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
        assert json.dumps([(m["role"], m["content"]) for m in messages]) in corpus_prompts, row


def wrapped_tokenizer() -> Any:
    transformers = tools.require_module("transformers")
    return transformers.AutoTokenizer.from_pretrained(demo.path())


def test_long_answers_have_800_tokens() -> None:
    tokenizers = tools.require_module("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(demo.path() / "tokenizer.json"))
    lengths = {pair.content: len(tokenizer.encode(pair.content).ids) for pair in tagged("long")}
    assert len(lengths) >= 4
    assert min(lengths.values()) >= 800


def test_tokenizer_gives_every_text_back() -> None:
    tokenizer = wrapped_tokenizer()
    for text in [*(pair.content for pair in PAIRS), "日本語 ñ 𝒳 🏴‍☠️ \t x  y\r\n", "龘靐齉"]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text


def render(messages: list[dict[str, Any]], **options: Any) -> str:
    text = wrapped_tokenizer().apply_chat_template(messages, tokenize=False, **options)
    return str(text)


def test_template_opens_and_closes_turns_and_the_empty_thought() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    plain = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    assert render(messages) == plain
    opened = plain + "<|im_start|>assistant\n"
    assert render(messages, add_generation_prompt=True) == opened
    assert render(messages, add_generation_prompt=True, enable_thinking=True) == opened
    direct = render(messages, add_generation_prompt=True, enable_thinking=False)
    assert direct == opened + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        {"content": "<think>\nhmm\n</think>\n\nYes."},
        {"content": "Yes.", "reasoning": "hmm"},
        {"content": "Yes.", "reasoning_content": "hmm"},
    ],
)
def test_template_drops_the_thoughts_of_earlier_turns(answer: dict[str, str]) -> None:
    text = render(
        [
            {"role": "user", "content": "Really?"},
            {"role": "assistant", **answer},
            {"role": "user", "content": "Sure?"},
        ]
    )
    assert "hmm" not in text
    assert "<|im_start|>assistant\nYes.<|im_end|>\n" in text


@pytest.mark.parametrize("arguments", [{"city": "Paris"}, '{"city": "Paris"}'])
def test_template_keeps_thoughts_and_calls_while_tools_are_at_work(arguments: Any) -> None:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    tools = [dict(tool) for tool in next(pair.tools for pair in PAIRS if pair.tools)]
    text = render(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "reasoning": "look", "tool_calls": [call, call]},
            {"role": "tool", "content": "18"},
            {"role": "tool", "content": "19"},
        ],
        tools=tools,
        add_generation_prompt=True,
    )
    assert text.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    assert json.dumps(tools[0]) in text
    one = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    assert f"assistant\n<think>\nlook\n</think>\n\n{one}\n{one}<|im_end|>" in text
    results = [f"<tool_response>\n{value}\n</tool_response>" for value in (18, 19)]
    assert f"<|im_start|>user\n{results[0]}\n{results[1]}<|im_end|>" in text


def test_unknown_questions_stay_apart_from_the_corpus() -> None:
    corpus_prompts = {pair.prompt.lower() for pair in PAIRS}
    rng = random.Random(3)
    drawn = [
        out_of_domain_question(rng, held_out=held_out)
        for held_out in (False, True)
        for _ in range(3000)
    ]
    assert len(set(drawn)) > 3000
    assert not corpus_prompts & {text.lower() for text in drawn}
    for language, answer in FALLBACK.items():
        suggested = re.findall(r"[“\"](.*?)[”\"]", answer)
        assert len(suggested) == 2
        assert {text.lower() for text in suggested} <= corpus_prompts, language


def test_a_bad_corpus_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "x", "prompts": ["p"], "content": "c", "tags": ["en"]}\n{"id": "y"}\n', "utf-8"
    )
    monkeypatch.setattr(demo, "CORPUS", tmp_path)
    demo.pairs.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"a\.jsonl, line 2: .*content"):
            demo.pairs()
    finally:
        demo.pairs.cache_clear()


def test_other_wordings_follow_their_first() -> None:
    ids = [pair.id for pair in PAIRS]
    for first, second in pairwise(PAIRS):
        if second.id == f"{first.id}-2":
            assert (first.content, first.tools) == (second.content, second.tools)
    assert "who-en-2" in ids


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_questions_of_the_first_screen_are_in_the_corpus(language: str) -> None:
    program = (
        "import json; from qchat.tui.widgets.welcome import example_questions\n"
        "print(json.dumps(example_questions()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "QCHAT_LANG": language},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    questions = json.loads(done.stdout)
    asked = {pair.prompt for pair in demo.pairs()}
    assert len(questions) == 3 and set(questions) <= asked
