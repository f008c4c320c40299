"""Every route that vLLM registers, requested through the access layer: only listed ones answer."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from qchat.serve.access.access_rules import VARIABLE, AccessRules
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.access.routes import OPEN, WITH_KEY

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

KEY = "k" * MIN_LENGTH

# vLLM's own application with the routes of every kind of model and of its development mode; no
# engine. What gets past the layer fails behind it, or is answered: both are "through".
PROGRAM = """
import asyncio, json, sys
from unittest.mock import MagicMock
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.tasks import POOLING_TASKS
from vllm.utils.argparse_utils import FlexibleArgumentParser

arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(
    ["--middleware", "qchat.serve.access.Access", "--enable-tokenizer-info-endpoint"]
)
tasks = ("generate", "transcription", "realtime", "render", *POOLING_TASKS)
model = MagicMock()  # one that can do everything
model.get_pooling_task.return_value = "embed"
app = build_app(arguments, tasks, model)

async def ask(method, path, headers):
    sent = []
    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
    }
    try:
        await app(scope, receive, send)
    except Exception:
        pass
    if not sent:
        return None
    body = b"".join(m.get("body", b"") for m in sent)
    try:
        code = json.loads(body)["error"]["code"]
    except Exception:
        code = None
    return [sent[0]["status"], code]

async def main():
    found = []
    for route in app.routes:
        path = route.path
        for name in ("response_id", "path"):
            path = path.replace("{%s}" % name, "x")
        for method in sorted(getattr(route, "methods", None) or ["GET"]):
            answers = []
            for header in ([], [(b"authorization", b"Bearer wrong")],
                           [(b"authorization", b"Bearer " + sys.argv[1].encode())]):
                answers.append(await asyncio.wait_for(ask(method, path, header), 20))
            found.append([method, path, *answers])
    print("FOUND" + json.dumps(found))

asyncio.run(main())
"""

DENIED = {(404, "not_found"), (401, "invalid_api_key")}


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, str], list[Any]]:
    """(method, path) → answers without a key, with a wrong one, with the right one."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, KEY],
        env={
            **os.environ,
            VARIABLE: AccessRules(loopback=True).to_variable(),
            "QCHAT_API_KEY": KEY,
            "VLLM_SERVER_DEV_MODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    line = next((x for x in done.stdout.splitlines() if x.startswith("FOUND")), None)
    assert line is not None, done.stderr[-3000:]
    return {(method, path): replies for method, path, *replies in json.loads(line[5:])}


def denied(answer: Any) -> bool:
    return answer is not None and tuple(answer) in DENIED


def test_the_routes_are_those_of_a_whole_vllm(answers: dict[tuple[str, str], list[Any]]) -> None:
    assert len(answers) > 50
    for pair in [("POST", "/invocations"), ("POST", "/collective_rpc"), ("GET", "/openapi.json")]:
        assert pair in answers


def test_every_listed_route_exists(answers: dict[tuple[str, str], list[Any]]) -> None:
    missing = (WITH_KEY | OPEN | {("GET", "/metrics")}) - answers.keys()
    assert missing <= {("POST", "/v1/decisions")}  # which vLLM has since 0.33


def test_every_route(answers: dict[tuple[str, str], list[Any]]) -> None:
    by_id = {("GET", "/v1/responses/x"), ("POST", "/v1/responses/x/cancel")}
    for pair, (without, wrong, right) in answers.items():
        if pair in OPEN:
            assert not denied(without) and not denied(wrong) and not denied(right), pair
        elif pair in WITH_KEY | by_id | {("GET", "/metrics")}:
            assert without == wrong == [401, "invalid_api_key"], pair
            assert not denied(right), pair
        else:
            code = None if pair[0] == "HEAD" else "not_found"  # no body comes back to HEAD
            assert without == wrong == right == [404, code], pair
