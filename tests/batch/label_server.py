"""A small OpenAI-compatible server that gives log probabilities and keeps to grammars.

It knows reviews by their words, so that a test can tell whether questions, options and labels came
together right. What vLLM does in their place is in tests/e2e.
"""

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD, BAD = ("lovely", "thank", "best", "light"), ("back", "refund", "broke", "stuck")
ORDER = {"customer": "Anna Berg", "items": [{"product": "lamp", "count": 3}]}


def mood_of(text: str) -> str:
    """What a review says by its words: good, bad or mixed."""
    words = text.casefold()
    good, bad = (any(word in words for word in kind) for kind in (GOOD, BAD))
    return "mixed" if good == bad else "good" if good else "bad"


def favourite(text: str, options: list[str]) -> str:
    """The option that a prompt asks for."""
    mood = mood_of(text)
    if "yes" in options:
        return "yes" if mood == "bad" else "no"
    by_mood = {"good": options[-1], "bad": options[0], "mixed": options[len(options) // 2]}
    return mood if mood in options else by_mood[mood]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The response to a request for chat."""
    text = str(body["messages"][-1]["content"])
    lines = [line.partition(". ") for line in text.splitlines()]
    options = {one: option for one, dot, option in lines if dot and len(one) == 1}
    logprobs = None
    if "response_format" in body:
        content = json.dumps(ORDER)
    elif choice := body.get("structured_outputs", {}).get("choice"):
        content = favourite(text, choice)
    elif body.get("logprobs") and options:
        best = favourite(text, sorted(options.values()))
        shares = {
            one: 0.85 if option == best else 0.1 / len(options) for one, option in options.items()
        }
        items = [
            {"token": one, "logprob": math.log(p)} for one, p in (shares | {"I": 0.04}).items()
        ]
        first = max(items, key=lambda item: float(item["logprob"]))  # type: ignore[arg-type]
        content = str(first["token"])
        logprobs = {"content": [{**first, "top_logprobs": items}]}
    else:
        content = f"About that: {text}"
    message = {"role": "assistant", "content": content}
    return {
        "model": "labels",
        "choices": [{"message": message, "finish_reason": "stop", "logprobs": logprobs}],
        "usage": {"prompt_tokens": len(text) // 4, "completion_tokens": 1},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "labels", "owned_by": "test"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(answer(body))

    def _send(self, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None: ...


@contextmanager
def label_server() -> Iterator[str]:
    """Run the server; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
