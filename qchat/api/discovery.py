"""Servers that may be there, without being configured: on this machine and in the environment."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ..i18n import in_brackets
from ..settings import Settings
from . import endpoint as endpoints
from .endpoint import Endpoint
from .local_servers import running_servers

USUAL_PORTS: Final[Mapping[int, str]] = {
    8000: "vLLM",
    8080: "llama.cpp",
    11434: "Ollama",
    1234: "LM Studio",
    30000: "SGLang",
    23333: "LMDeploy",
}
"""The default ports of servers with OpenAI's API, on this machine."""


def find_servers(settings: Settings) -> Iterator[tuple[Endpoint, str]]:
    """Yield servers with what is known of each: that of ``OPENAI_BASE_URL``, those that `qchat
    serve` runs, and what listens at the usual ports of this machine. Each address comes once."""
    seen: set[str] = set()
    named = endpoints.environment_endpoint(settings)
    if named is not None:
        seen.add(named.base_url)
        yield named, "OPENAI_BASE_URL"
    for server in running_servers(settings):
        if server.endpoint is not None and server.endpoint.base_url not in seen:
            seen.add(server.endpoint.base_url)
            yield server.endpoint, "qchat serve" + in_brackets(server.name)
    places = [
        (Endpoint(f"http://127.0.0.1:{port}/v1", origin="default"), program)
        for port, program in USUAL_PORTS.items()
    ]
    with ThreadPoolExecutor(len(places)) as pool:
        listening = list(pool.map(lambda place: endpoints.answers(place[0], 0.5), places))
    for (endpoint, program), answers in zip(places, listening, strict=True):
        if answers and endpoint.base_url not in seen:
            yield endpoint, program
