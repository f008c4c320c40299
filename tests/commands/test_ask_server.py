"""`qchat ask` and its server: the model, keys, headers, redirects, proxies."""

import json
from pathlib import Path

from ..faults import running
from .ask_command import AskCommand, environment, in_process


def test_the_only_model_or_the_choice(tmp_path: Path) -> None:
    with running(models=("one", "two")) as several:
        done = AskCommand(tmp_path, several)("hi")
        assert done.returncode == 2 and b"one, two" in done.stderr
        assert several.log.answered == {}
        assert AskCommand(tmp_path, several)("hi", "-m", "two").returncode == 0
        assert AskCommand(tmp_path, several)("hi", QCHAT_MODEL="one").returncode == 0
    with running(models=("one", "one")) as doubled:
        assert AskCommand(tmp_path, doubled)("hi").returncode == 0


def test_keys(tmp_path: Path) -> None:
    with running(api_key="sk-right") as guarded:
        ask = AskCommand(tmp_path, guarded)
        done = ask("hi", "-m", "demo", OPENAI_API_KEY="sk-right")
        assert done.returncode == 3 and b"wants a key" in done.stderr
        assert "authorization" not in {k.lower() for k in guarded.log.records[-1].headers}
        done = ask("hi", "--api-key-env", "K", K="sk-wrong")
        assert done.returncode == 3 and b"refused the key" in done.stderr
        assert b"sk-wrong" not in done.stderr
        assert ask("hi", "--api-key-env", "K", K="sk-right").returncode == 0
        openai = {"OPENAI_BASE_URL": guarded.base_url, "OPENAI_API_KEY": "sk-right"}
        plain = in_process(["ask", "hi"], environment(tmp_path, **openai), None)
        assert plain.returncode == 0, plain.stderr


def test_the_environment_adds_no_header_and_no_proxy(ask: AskCommand) -> None:
    done = ask(
        "hi",
        OPENAI_ORG_ID="org-1",
        OPENAI_PROJECT_ID="p-1",
        OPENAI_API_KEY="sk-1",
        OPENAI_CUSTOM_HEADERS="X-Secret: s3cret\nAuthorization: Bearer sk-2",
        ALL_PROXY="socks5://127.0.0.1:9",
        HTTP_PROXY="http://127.0.0.1:9",
    )
    assert done.returncode == 0, done.stderr
    for record in ask.server.log.records:
        sent = json.dumps(dict(record.headers)).lower()
        for word in ("org-1", "p-1", "sk-1", "sk-2", "s3cret", "stainless", "authorization"):
            assert word not in sent
        assert "qchat/" in sent


def test_a_redirect_is_not_followed(ask: AskCommand) -> None:
    with running() as elsewhere:
        done = ask(f"hi [[fault:redirect;status=307;to={elsewhere.url}/x]]", "-m", "demo")
        assert done.returncode == 3
        assert elsewhere.log.records == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    args = ["ask", "hi", "-m", "demo", "--base-url", "http://127.0.0.1:9"]
    done = in_process(args, environment(tmp_path), None)
    assert done.returncode == 3
    assert b"can't be reached" in done.stderr and done.stderr.count(b"\n") == 1
    assert b"Errno" not in done.stderr and b"proxy" not in done.stderr


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    args = ["ask", "hi", "-m", "demo", "--base-url", "http://server.invalid"]
    environ = environment(tmp_path, HTTP_PROXY="http://me:pass1234@127.0.0.1:9")
    done = in_process(args, environ, None)
    assert done.returncode == 3 and b"proxy" in done.stderr
    assert b"pass1234" not in done.stderr
