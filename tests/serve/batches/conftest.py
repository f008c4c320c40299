"""One server with the Batch API for the tests of a module, and clients of it."""

from collections.abc import Iterator

import openai
import pytest

from tests.serve.supervised import LINUX

from .serving import ALICE, BOB, Served, serving

for name in ("uvicorn", "httptools"):
    pytest.importorskip(name)

collect_ignore: list[str] = []
pytestmark = LINUX


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), media_domains=["images.example"]) as server:
        yield server


@pytest.fixture
def alice(served: Served) -> openai.OpenAI:
    return served.client(ALICE)


@pytest.fixture
def bob(served: Served) -> openai.OpenAI:
    return served.client(BOB)
