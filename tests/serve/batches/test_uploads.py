"""Files on their way to the disk: sizes, quotas, cut off uploads, memory, permissions."""

import contextlib
import http.client
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.serve.supervised import LINUX

from .serving import (
    ALICE,
    BOB,
    Served,
    create,
    ended,
    free_port,
    lines,
    serving,
    start,
    stop,
    upload,
    wait_for,
)

pytestmark = LINUX
SMALL = 200_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes small files, and 3 of them."""
    folder = tmp_path_factory.mktemp("small")
    with serving(folder, max_file_bytes=SMALL, quota_bytes=3 * SMALL, max_lines=10) as server:
        yield server


def contents(served: Served) -> list[str]:
    return sorted(path.name for path in (served.state / "files").iterdir())


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Served]:
    """The same without the files of other tests, which would count."""
    with serving(tmp_path / "empty", max_file_bytes=SMALL, quota_bytes=3 * SMALL) as server:
        yield server


def test_sizes_and_quota(empty: Served) -> None:
    client = empty.client()
    with pytest.raises(openai.APIStatusError) as caught:
        upload(client, b"x" * (SMALL + 1))
    assert caught.value.status_code == 413 and caught.value.code == "file_too_large"  # type: ignore[attr-defined]
    with pytest.raises(openai.APIStatusError) as caught:  # more than the form may add
        upload(client, b"x" * (SMALL + (1 << 17)))
    assert caught.value.status_code == 413
    assert contents(empty) == []
    files = [upload(client, b"x" * (SMALL - 1000)).id for _number in range(3)]
    with pytest.raises(openai.PermissionDeniedError) as denied:
        upload(client, b"x" * (SMALL - 1000))
    assert denied.value.code == "quota_exceeded" and len(contents(empty)) == 3
    upload(empty.client("b" * 32), lines(1))  # another's quota
    for file in files:
        client.files.delete(file)
    upload(client, lines(1))


def test_too_many_requests_in_a_file(small: Served) -> None:
    client = small.client()
    job = ended(client, create(client, lines(11)).id)
    assert job.status == "failed" and job.errors.data[0].code == "too_many_requests"


def test_all_is_private(small: Served) -> None:
    upload(small.client(), lines(1))
    for path in [small.state, *small.state.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_an_upload_that_is_cut_off_leaves_nothing(small: Served) -> None:
    before = contents(small)
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ALICE}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 150000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", small.port)) as connection:
        connection.sendall(head.encode() + b"y" * 100_000)
        wait_for(lambda: len(contents(small)) > len(before), "nothing is written")
    wait_for(lambda: contents(small) == before, "the scratch file stays")


FILE_PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
FORM_END = b'\r\n--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n'


class SlowUpload:
    """An upload whose end waits for `end`."""

    def __init__(self, served: Served, content: bytes) -> None:
        self._connection = socket.create_connection(("127.0.0.1", served.port), timeout=60)
        length = len(FILE_PART) + len(content) + len(FORM_END)
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ALICE}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        self._connection.sendall(head.encode() + FILE_PART + content)

    def end(self) -> bytes:
        """Send the rest and return the answer."""
        with self._connection as connection:
            connection.sendall(FORM_END)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_stored_file_counts_once_while_another_upload_runs(tmp_path: Path) -> None:
    with serving(tmp_path / "s", quota_bytes=1_000_000) as served:
        slow = SlowUpload(served, b"x" * 300_000)
        wait_for(lambda: contents(served), "nothing is written")
        first = upload(served.client(), b"y" * 300_000)
        second = upload(served.client(), b"z" * 300_000)
        with pytest.raises(openai.PermissionDeniedError):
            upload(served.client(), b"z" * 300_000)
        assert slow.end().startswith(b"HTTP/1.1 200")
        names = [path.removesuffix(".jsonl") for path in contents(served)]
        assert len(names) == 3 and {first.id, second.id} < set(names)


def chunked_upload(served: Served, data: bytes) -> int:
    """Upload a file without telling its length; return the status of the answer."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        + data
        + b"\r\n--x--\r\n"
    )
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    headers = {
        "Authorization": f"Bearer {ALICE}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    pieces = (body[i : i + 65536] for i in range(0, len(body), 65536))
    with contextlib.suppress(OSError):  # it is closed before all is sent
        connection.request("POST", "/v1/files", pieces, headers, encode_chunked=True)
    status = connection.getresponse().status
    connection.close()
    return status


def test_no_byte_is_kept_beyond_the_quota(tmp_path: Path) -> None:
    with serving(tmp_path / "s", quota_bytes=1_000_000) as served:
        assert chunked_upload(served, b"x" * 5_000_000) == 403 and contents(served) == []
        assert chunked_upload(served, b"x" * 400_000) == 200
        upload(served.client(), b"y" * 600_000)  # exactly the rest; the form's bytes do not count
        with pytest.raises(openai.PermissionDeniedError):
            upload(served.client(), b"z")


def test_a_file_is_deleted_while_files_are_listed(small: Served) -> None:
    client = small.client(BOB)
    for _number in range(3):
        upload(client, lines(1))
    for file in client.files.list(limit=2):
        client.files.delete(file.id)
    assert not client.files.list().data


@pytest.mark.parametrize("name", ["a;b;c.jsonl", 'a";b;c;d.jsonl', "问;题;集.jsonl"])
def test_a_file_may_have_any_name(small: Served, name: str) -> None:
    client = small.client()
    file = upload(client, lines(1), name)
    assert file.filename.endswith(".jsonl") and ";" in file.filename
    client.files.delete(file.id)


def test_the_parts_of_a_form_are_bounded(small: Served) -> None:
    fields = {f"field-{n}": "x" for n in range(100)}
    with pytest.raises(openai.BadRequestError, match="parts"):
        small.client().files.create(file=("a", lines(1)), purpose="batch", extra_body=fields)


def test_a_form_in_another_order_and_chunked(small: Served) -> None:
    """As curl sends it; the purpose comes after the file."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        + lines(1)
        + b'\r\n--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n'
    )
    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=60)
    headers = {
        "Authorization": f"Bearer {ALICE}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    pieces = (body[i : i + 7] for i in range(0, len(body), 7))
    connection.request("POST", "/v1/files", pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    file = json.loads(answer.read())
    connection.close()
    assert answer.status == 200 and file["bytes"] == len(lines(1))
    assert small.client().files.content(file["id"]).content == lines(1)


def test_parts_of_a_content(small: Served) -> None:
    client = small.client()
    file = upload(client, lines(3))
    raw = client.files.with_raw_response.content(file.id, extra_headers={"Range": "bytes=0-9"})
    assert raw.status_code == 206 and raw.content == lines(3)[:10]


def test_expiry(small: Served) -> None:
    client = small.client()
    options = {"anchor": "created_at", "seconds": 3600}
    file = client.files.create(
        file=("a", lines(1)),
        purpose="batch",
        expires_after=options,  # type: ignore[arg-type]
    )
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(openai.BadRequestError):
        client.files.create(
            file=("a", lines(1)),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 1},
        )


def peak_mib(pid: int) -> float:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("VmHWM:"):
            return int(text.split()[1]) / 1024
    raise AssertionError


def test_a_large_file_does_not_stand_in_memory(served: Served, tmp_path: Path) -> None:
    """100 MB cost neither process a tenth of that."""
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        for _piece in range(100):
            file.write(b"x" * 999_999 + b"\n")
    pids = processes_of(served)
    assert len(pids) == 2
    before = {pid: peak_mib(pid) for pid in pids}
    client = served.client()
    with large.open("rb") as content:
        file_id = client.files.create(file=content, purpose="batch").id
    with client.files.with_streaming_response.content(file_id) as answer:
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == 100_000_000
    client.files.delete(file_id)
    grown = {pid: peak_mib(pid) - mib for pid, mib in before.items()}
    assert max(grown.values()) < 10, grown


def processes_of(served: Served) -> list[int]:
    """The engine and the service."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes()
            mine = str(served.folder).encode() in (path / "environ").read_bytes()
        except OSError:
            continue
        is_meant = b"/engine.py\0" in text or b"qchat.serve.batches.service\0" in text
        if mine and is_meant and int(path.name) != os.getpid():
            pids.append(int(path.name))
    return pids


def test_a_long_path_of_the_state(tmp_path: Path) -> None:
    """A socket's path is short; the service finds another place."""
    folder = tmp_path
    for _level in range(6):
        folder = folder / ("d" * 20)
    folder.mkdir(parents=True)
    served = start(folder, free_port())
    try:
        assert served.client().files.list().data == []
    finally:
        stop(served)


def test_a_large_upload_over_the_quota_is_told_so(tmp_path: Path) -> None:
    """The answer comes before the body is read, and reaches the client all the same."""
    with serving(tmp_path / "s", quota_bytes=1_000_000) as served:
        for _try in range(5):
            with pytest.raises(openai.PermissionDeniedError) as caught:
                upload(served.client(), b"x" * 50_000_000)
            assert caught.value.code == "quota_exceeded"
        assert contents(served) == []
