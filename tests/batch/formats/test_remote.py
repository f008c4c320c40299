"""Inputs behind URLs: fsspec's memory, a web server, and one that stops in the middle."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.inputs.discovery import InputFile, expand_inputs, with_keys
from qchat.batch.inputs.formats import remote
from qchat.batch.inputs.formats.remote import RemoteFile
from qchat.batch.inputs.row_ids import stems_of
from qchat.batch.request import Outcome, Request

from ... import tools
from ..commands import batch, once_each
from ..echo import Echo, echoing
from ..file_server import FileServer, serving_files
from .reading import records

ROWS = [{"prompt": f"row {n}"} for n in range(1, 50)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)


@pytest.fixture
def memory() -> Any:
    system = tools.require_module("fsspec", "the extra data").filesystem("memory")
    system.pipe("/rows/a.jsonl", LINES)
    system.pipe("/rows/b.jsonl.gz", gzip.compress(LINES))
    yield system
    system.rm("/rows", recursive=True)


def values(location: RemoteFile) -> list[Any]:
    return [value for _line, value in records(location)]


def test_memory(memory: Any) -> None:
    assert values(RemoteFile("memory://rows/a.jsonl")) == ROWS
    assert values(RemoteFile("memory://rows/b.jsonl.gz")) == ROWS
    names = [item.path.name for item in expand_inputs(["memory://rows/*.jsonl*"])]
    assert names == ["a.jsonl", "b.jsonl.gz"]


@pytest.mark.parametrize("parts", [True, False])
def test_a_web_server_with_and_without_parts(parts: bool) -> None:
    pytest.importorskip("fsspec")
    with serving_files() as server:
        server.parts = parts
        server.files = {"/in.jsonl": LINES, "/in.jsonl.gz": gzip.compress(LINES)}
        assert values(RemoteFile(f"{server.url}/in.jsonl?token=secret")) == ROWS
        assert values(RemoteFile(f"{server.url}/in.jsonl.gz")) == ROWS


class Breaking(Echo):
    """Answers, and lets the file server stop in the middle from the first answer on."""

    def __init__(self, server: FileServer, breaks_at: int | None) -> None:
        self._server = server
        self._breaks_at = breaks_at

    async def answer(self, request: Request) -> Outcome:
        self._server.breaks_at = self._breaks_at
        outcome = await super().answer(request)
        assert outcome.body is not None
        text = f"echo: {request.body['messages'][0]['content']}"
        outcome.body["choices"][0]["message"]["content"] = text
        return outcome


def test_a_url_that_stops_in_the_middle_loses_nothing(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setattr(remote, "BLOCK", 1 << 16)
    rows = [{"prompt": f"row {n} " + "x" * 1000} for n in range(1, 2001)]
    with serving_files() as server:
        server.files["/in.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        url = f"{server.url}/in.jsonl?token=secret"
        server.breaks_at = 700_000
        with echoing():
            assert batch(url, "-o", "out.jsonl") == 2
        message = " ".join(capfd.readouterr().err.split())
        assert "in.jsonl can't be read" in message and "the connection broke" in message
        assert "secret" not in message and "Traceback" not in message
        server.breaks_at = None
        with echoing(Breaking(server, 1_000_000)):
            assert batch(url, "-o", "out.jsonl") == 3
        message = " ".join(capfd.readouterr().err.split())
        assert "can't be read further than line" in message and "to resume" in message
        assert "the connection broke at byte" in message
        server.breaks_at = None
        with echoing(Breaking(server, None)):
            assert batch(url, "-o", "out.jsonl") == 0
    once_each("out.jsonl", 2000)


def test_what_is_not_there_is_said_in_a_sentence(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fsspec")
    with serving_files() as server:
        assert batch(f"{server.url}/none.jsonl?token=secret", "-o", "out.jsonl") == 2
        message = capfd.readouterr().err
        assert "none.jsonl can't be read: there is no such file" in message
        assert "secret" not in message
    assert batch(f"{server.url}/none.jsonl", "-o", "out.jsonl") == 2
    assert batch("nosuch://bucket/a.jsonl", "-o", "out.jsonl") == 2
    message = capfd.readouterr().err
    assert message.count("can't be read") == 2 and "Traceback" not in message


def test_urls_that_differ_in_their_query_alone_are_two_inputs(home: Path) -> None:
    pytest.importorskip("fsspec")
    with serving_files() as server:
        server.files["/in.jsonl"] = b'"a"\n"b"\n'
        urls = [f"{server.url}/in.jsonl?token=secret{n}" for n in (1, 2)]
        for _again in range(2):
            with echoing():
                assert batch(*urls, "-o", "out.jsonl") == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    places = sorted((row["_qchat"]["file"], row["_qchat"]["line"]) for row in rows)
    name = f"{server.url}/in.jsonl"
    assert places == [(name, 1), (name, 2), (f"{name}~2", 1), (f"{name}~2", 2)]
    assert not any(b"secret" in path.read_bytes() for path in Path().rglob("out*"))


def test_rows_without_an_id_of_two_such_urls_have_two(tmp_path: Path) -> None:
    urls = [f"https://x.example/in.jsonl?file={n}" for n in (1, 2)]
    inputs = with_keys([InputFile(str(RemoteFile(url)), RemoteFile(url)) for url in urls], tmp_path)
    assert len({item.key for item in inputs}) == len(set(stems_of(inputs))) == 2
