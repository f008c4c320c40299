"""The parsers that a chat template asks for, and where a template is read from."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat import demo
from qchat.engine.models.chat_template import fetch_template, find_template, read_template_argument
from qchat.engine.models.parser_choice import ParserChoice, choose_parsers
from tests.engine.file_server import file_server
from tests.engine.model_dialects import DIALECTS, Dialect

XML = "<tool_call>\\n<function=name>"
JSON = '<tool_call>\\n{"name": …}'


class TestChoice:
    @pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
    def test_families(self, dialect: Dialect) -> None:
        choice = choose_parsers(dialect.template, dialect.added_tokens)
        assert (choice.reasoning_parser, choice.tool_parser) == (dialect.reasoning, dialect.tools)
        assert bool(choice.tool_mark) == (dialect.tools is not None)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        choice = choose_parsers(text)
        assert isinstance(choice, ParserChoice)

    def test_a_hostile_template_takes_no_time(self) -> None:
        parts = ["<tool_call>" + "\\n" * 5, "json object", "<|header_start|>", "<tool_call>{a"]
        started = time.process_time()
        for part in parts:
            choose_parsers(part * ((1 << 20) // len(part)))
        assert time.process_time() - started < 5

    def test_a_recipe_has_the_word_where_the_template_is_unclear(self) -> None:
        history = "<|im_start|>{% if '</think>' in content %}{% if add_generation_prompt %}"
        assert choose_parsers(history).with_reasoning_of("qwen3").reasoning_parser == "qwen3"
        assert choose_parsers("<|im_start|>").with_reasoning_of("qwen3").reasoning_parser is None
        clear = choose_parsers("[THINK]").with_reasoning_of("qwen3")
        assert clear.reasoning_parser == "mistral"

    def test_options(self) -> None:
        assert choose_parsers("").options() == {}
        assert choose_parsers(XML).options() == {
            "tool-call-parser": "qwen3_coder",
            "enable-auto-tool-choice": "",
        }

    def test_a_wrong_parser_is_told(self) -> None:
        text = str(choose_parsers(XML).conflict("tool-call-parser", "hermes"))
        assert "<tool_call><function=" in text and "qwen3_coder" in text and "hermes" in text
        text = str(ParserChoice(tool_parser="glm47").conflict("tool-call-parser", "hermes"))
        assert "glm47 is right" in text

    @pytest.mark.parametrize(
        ("choice", "option", "parser"),
        [
            (choose_parsers(XML), "tool-call-parser", "qwen3_coder"),
            (choose_parsers(XML), "tool-call-parser", "qwen3_xml"),
            (choose_parsers(JSON), "tool-call-parser", "qwen3_json"),
            (choose_parsers(XML), "reasoning-parser", "qwen3"),
            (ParserChoice(), "tool-call-parser", "my_plugin"),
        ],
    )
    def test_a_right_one_is_not(self, choice: ParserChoice, option: str, parser: str) -> None:
        assert choice.conflict(option, parser) is None


def write(folder: Path, files: Mapping[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, "utf-8")
    return folder


class TestFolder:
    def test_the_bundled_model(self) -> None:
        template = find_template("demo", {})
        assert template is not None and template == find_template(str(demo.path()), {})
        assert template.parsers().options() == {
            "reasoning-parser": "qwen3",
            "tool-call-parser": "hermes",
            "enable-auto-tool-choice": "",
        }

    def test_a_template_file_wins_over_the_config(self, tmp_path: Path) -> None:
        config = {"chat_template": JSON, "added_tokens_decoder": {"0": {"content": "<x>"}}}
        write(tmp_path, {"tokenizer_config.json": config})
        template = find_template(str(tmp_path), {})
        assert template is not None and template.text == JSON
        write(tmp_path, {"chat_template.jinja": XML})
        template = find_template(str(tmp_path), {})
        assert template is not None and template.text == XML
        assert template.added_tokens == {"<x>"}

    def test_several_by_name(self, tmp_path: Path) -> None:
        both = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": XML}]
        write(tmp_path, {"tokenizer_config.json": {"chat_template": both}})
        template = find_template(str(tmp_path), {})
        assert template is not None and template.parsers().tool_parser == "qwen3_coder"

    def test_a_processors_template(self, tmp_path: Path) -> None:
        write(tmp_path, {"tokenizer_config.json": {}, "chat_template.json": {"chat_template": XML}})
        template = find_template(str(tmp_path), {})
        assert template is not None and template.text == XML

    @pytest.mark.parametrize("config", ["", "[]", "{", '{"chat_template": 5}', "[" * 100_000])
    def test_none(self, tmp_path: Path, config: str) -> None:
        assert find_template(str(write(tmp_path, {"tokenizer_config.json": config})), {}) is None

    def test_a_file_of_its_own(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"mine.jinja": XML}) / "mine.jinja"
        template = read_template_argument(str(file))
        assert template is not None and template.parsers().tool_parser == "qwen3_coder"
        assert read_template_argument(str(tmp_path / "none")) is None

    def test_a_template_in_the_argument_itself(self) -> None:
        text = f"{{% for m in messages %}}{XML}{{% endfor %}}" * 100
        template = read_template_argument(text)
        assert template is not None and template.parsers().tool_parser == "qwen3_coder"


class TestHub:
    def test_the_cache(self, tmp_path: Path) -> None:
        model = tmp_path / "models--org--name"
        write(model / "snapshots" / "abc", {"chat_template.jinja": XML})
        write(model / "refs", {"main": "abc"})
        template = find_template("org/name", {"HF_HUB_CACHE": str(tmp_path)})
        assert template is not None and template.text == XML
        assert find_template("org/other", {"HF_HUB_CACHE": str(tmp_path)}) is None

    def test_the_hub(self) -> None:
        path = "/org/name/resolve/main/"
        files = {path + "tokenizer_config.json": json.dumps({"chat_template": XML}).encode()}
        with file_server(files) as server:
            environ = {
                "HF_ENDPOINT": server.url,
                "HF_TOKEN": "secret",
                "http_proxy": "http://0.0.0.1",
            }
            template = fetch_template("org/name", environ)
            assert template is not None and template.text == XML
            assert fetch_template("org/other", environ) is None
            assert fetch_template("org/name", environ | {"HF_HUB_OFFLINE": "1"}) is None
            assert fetch_template("not-an-id", environ) is None
        assert server.requests[0].headers["Authorization"] == "Bearer secret"

    def test_a_token_does_not_follow_a_redirect(self) -> None:
        with file_server({"/x": XML.encode()}) as storage:
            path = "/org/name/resolve/main/chat_template.jinja"
            with file_server({}, redirects={path: f"{storage.url}/x"}) as hub:
                environ = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "secret"}
                template = fetch_template("org/name", environ)
        assert template is not None and template.text == XML
        assert "Authorization" in hub.requests[0].headers
        assert "Authorization" not in storage.requests[0].headers

    def test_no_hub_there(self) -> None:
        with file_server({}) as server:
            gone = server.url
        assert fetch_template("org/name", {"HF_ENDPOINT": gone}) is None
