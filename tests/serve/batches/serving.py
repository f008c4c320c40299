"""A server with the Batch API: the real supervisor, access layer, service and `qchat batch`.

In vLLM's place stands an application that answers as it is told by the question.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from qchat.serve.access.keys import MIN_LENGTH

ALICE, BOB = "a" * MIN_LENGTH, "b" * MIN_LENGTH
PATIENCE = 90.0  # seconds, on a busy machine too
MODEL = "demo"

# vLLM's place: uvicorn with the real access layer. A question with "bad" is refused, one with
# "slow" takes half a second, one with "hang" never ends; each is noted, with who asks.
ENGINE = """
import argparse, asyncio, contextlib, json, os, signal, socket, sys
import uvicorn
from qchat import lifeline
from qchat.serve.access import Access
from qchat.serve.access.http_protocol import GuardedProtocol
from qchat.serve.processes.inherited_sockets import inherited
port, folder = int(sys.argv[1]), sys.argv[2]
lifeline.die_with_parent(signal.SIGKILL)
def reply(value, status=200):
    body = json.dumps(value).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return [{"type": "http.response.start", "status": status, "headers": head},
            {"type": "http.response.body", "body": body}]
async def answer(path, data):
    if path == "/health":
        return reply({})
    if path == "/metrics":
        return [{"type": "http.response.start", "status": 200,
                 "headers": [(b"content-type", b"text/plain")]},
                {"type": "http.response.body", "body": b""}]
    if path == "/v1/models":
        return reply({"object": "list", "data": [{"id": "demo", "object": "model"}]})
    if path not in ("/v1/chat/completions", "/v1/embeddings"):
        return reply({"error": {"message": "no such route", "code": 404}}, 404)
    body = json.loads(data)
    if path == "/v1/embeddings":
        return reply({"object": "list", "model": "demo", "usage": {"prompt_tokens": 2,
            "total_tokens": 2}, "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]})
    text = body["messages"][-1]["content"]
    with open(os.path.join(folder, "asked"), "a") as file:
        file.write(json.dumps([text, sorted(body)]) + "\\n")
    if "bad" in text:
        return reply({"error": {"message": f"{text} is refused", "type": "BadRequestError",
                                "code": 400}}, 400)
    await asyncio.sleep(3600 if "hang" in text else 0.5 if "slow" in text else 0)
    message = {"role": "assistant", "content": f"echo {text}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return reply({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "demo",
                  "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2,
                                                 "total_tokens": 5}})
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    data, more = b"", True
    while more:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    for message in await answer(scope["path"], data):
        await send(message)
def setup_server(args, reuse_port=False):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((args.host, args.port))
    return "", sock
async def run_server(args):  # as vLLM's, as far as sockets go
    _address, sock = setup_server(args)
    config = uvicorn.Config(Access(app), http=GuardedProtocol, lifespan="off")
    print("INFO:     Application startup complete.", flush=True)
    await uvicorn.Server(config).serve(sockets=[sock])
sockets = inherited()
with sockets.used_by(run_server) if sockets else contextlib.nullcontext():
    asyncio.run(run_server(argparse.Namespace(host="127.0.0.1", port=port)))
"""

SUPERVISOR = """
import sys
from dataclasses import fields
from pathlib import Path
from qchat.engine.machine.hardware import Machine
from qchat.serve.planning.batch_options import BatchOptions
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan
from qchat.serve.registry.records import ServerRegistry
from qchat.serve.supervision.restart_policy import RestartPolicy
from qchat.serve.supervision.supervisor import Supervisor
from qchat.settings import Paths
import json
port, folder, batches, more = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
class Plan(ServePlan):
    def command(self, parent_pid=None):
        return [sys.executable, str(folder / "engine.py"), str(port), str(folder)]
options = ServeOptions("demo", port=port, key_file=folder / "keys",
                       batches=BatchOptions(**json.loads(batches)), **json.loads(more))
plan = make_plan(options, Machine((), 9000, 8000, 2), {})
plan = Plan(**{field.name: getattr(plan, field.name) for field in fields(plan)})
policy = RestartPolicy(first_delay=0.2, reset_after=0.0)
sys.exit(Supervisor(plan, ServerRegistry(Paths.find()), lambda step: None, policy).run())
"""


@dataclass
class Served:
    """A running server."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """The folder with its files and batches."""
        return self.folder / "home" / "state" / "batch-api" / "demo"

    def client(self, key: str = ALICE) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def asked(self) -> list[str]:
        """The questions that came to the engine."""
        file = self.folder / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)[0] for line in lines]

    def log(self) -> str:
        path = self.folder / "home" / "state" / "logs" / "serve" / "demo.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def environment(self) -> dict[str, str]:
        return environment(self.folder)


def environment(folder: Path) -> dict[str, str]:
    """The environment of commands for the server in `folder`."""
    hidden = ("QCHAT_", "OPENAI_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    return {**kept, "QCHAT_HOME": str(folder / "home")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int, more: dict[str, Any] | None = None, **batches: Any) -> Served:
    """Start a server in `folder`, which may have files and batches; return when it is ready."""
    folder.mkdir(exist_ok=True)
    (folder / "engine.py").write_text(ENGINE)
    keys = folder / "keys"
    if not keys.exists():
        keys.write_text(f"alice {ALICE}\nbob {BOB}\n")
        keys.chmod(0o600)
    with (folder / "supervisor.err").open("ab") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", SUPERVISOR, str(port), str(folder)),
                *(json.dumps(batches), json.dumps(more or {})),
            ],
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
    served = Served(folder, port, process)
    try:
        wait_for(lambda: is_ready(served), "the server is not ready")
    except BaseException:
        stop(served)
        raise
    return served


def is_ready(served: Served) -> bool:
    assert served.process.poll() is None, (served.folder / "supervisor.err").read_text()
    with contextlib.suppress(openai.APIError):
        served.client().batches.list(limit=1)
        return True
    return False


def stop(served: Served) -> None:
    """Stop the server softly."""
    served.process.send_signal(signal.SIGTERM)
    try:
        served.process.wait(60)
    finally:
        served.process.kill()
        served.process.wait()


@contextlib.contextmanager
def serving(folder: Path, more: dict[str, Any] | None = None, **batches: Any) -> Iterator[Served]:
    """A server for a ``with`` block."""
    served = start(folder, free_port(), more, **batches)
    try:
        yield served
    finally:
        stop(served)


def wait_for(condition: Callable[[], Any], message: str, seconds: float = PATIENCE) -> Any:
    """Wait until `condition` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
    return value


def line(
    custom_id: str, question: str = "hello", url: str = "/v1/chat/completions", **body: Any
) -> str:
    """A line of an input file."""
    values = {"model": MODEL, "messages": [{"role": "user", "content": question}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": values}) + "\n"


def lines(n: int, question: str = "hello") -> bytes:
    """An input file of `n` requests: row-0 asks "hello 0"."""
    return "".join(line(f"row-{i}", f"{question} {i}") for i in range(n)).encode()


def upload(client: openai.OpenAI, data: bytes, name: str = "in.jsonl") -> Any:
    return client.files.create(file=(name, data), purpose="batch")


def create(client: openai.OpenAI, data: bytes, **more: Any) -> Any:
    """Upload a file and make a batch of it."""
    options = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return client.batches.create(input_file_id=upload(client, data).id, **options)


def ended(client: openai.OpenAI, batch_id: str, seconds: float = PATIENCE) -> Any:
    """Wait for the end of a batch and return it."""

    def batch_if_ended() -> Any:
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status in ("completed", "failed", "expired", "cancelled") else None

    return wait_for(batch_if_ended, f"{batch_id} does not end", seconds)


def records(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file."""
    if file_id is None:
        return []
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]
