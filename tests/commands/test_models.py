"""`qchat models`: the table, the JSON, and a server that has none."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qchat import cli
from qchat.api import endpoint as endpoints
from qchat.console import json_text, table, width
from qchat.errors import EngineError, QchatError

from ..faults import running


def models(home: Path, *args: str, **environ: str) -> Result:
    env = {"QCHAT_HOME": str(home), "OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", **environ}
    return CliRunner().invoke(cli.main, ["models", *args], env=env)


def test_the_table_and_the_json(tmp_path: Path) -> None:
    with running(models=("demo", "a-longer-name"), max_model_len=40_960) as server:
        lines = models(tmp_path, "--base-url", server.url).output.splitlines()
        result = json.loads(models(tmp_path, "--base-url", server.url, "--json").output)
    assert [line.split() for line in lines] == [
        ["MODEL", "CONTEXT", "OWNER"],
        ["demo", "40,960", "vllm"],
        ["a-longer-name", "40,960", "vllm"],
    ]
    assert len({line.index("vllm") for line in lines[1:]}) == 1
    assert [m["id"] for m in result] == ["demo", "a-longer-name"]
    assert result[0]["max_model_len"] == 40_960


def test_no_models(tmp_path: Path) -> None:
    with running(models=()) as server:
        result = models(tmp_path, "--base-url", server.url)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no models" in result.stderr
        assert models(tmp_path, "--base-url", server.url, "--json").stdout == "[]\n"


def test_a_wrong_key(tmp_path: Path) -> None:
    with running(api_key="right") as server:
        result = models(tmp_path, "--base-url", server.url, "--api-key-env", "K", K="wrong")
    assert isinstance(result.exception, QchatError)
    assert result.exception.exit_code == 3 and "refused the key" in str(result.exception)


def test_a_path_that_is_no_api(tmp_path: Path) -> None:
    with running() as server:
        result = models(tmp_path, "--base-url", f"{server.url}/nothing/here")
    assert isinstance(result.exception, QchatError)
    assert "does not know this path" in str(result.exception)


def test_nothing_configured_and_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "LOCAL_URL", "http://127.0.0.1:9/v1")
    result = models(tmp_path)
    assert isinstance(result.exception, EngineError)
    for word in ("http://127.0.0.1:9/v1", "--base-url", "qchat serve demo --detach"):
        assert word in str(result.exception)


def test_the_local_server_is_found_without_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as server:
        monkeypatch.setattr(endpoints, "LOCAL_URL", server.base_url)
        assert "demo" in models(tmp_path).output


def test_columns_line_up_with_wide_characters() -> None:
    text = table([("模型", "1"), ("a", "22"), ("x\x1b[31m\ny", "3")], right=(1,))
    assert len({width(line) for line in text.splitlines()}) == 1
    assert "\x1b" not in text and len(text.splitlines()) == 3


@pytest.mark.parametrize("value", ["a\x1b\x7f\x9b\u202e\u2066你", "plain", "\ud800", {"k\x9b": 1}])
def test_json_text_is_exact_and_safe(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert not any(c in text for c in "\x1b\x7f\x9b\u202e\u2066\ud800")
    assert "你" in text or "你" not in str(value)
