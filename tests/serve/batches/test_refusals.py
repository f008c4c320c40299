"""What the Batch API refuses: requests, files, and lines of files; each time it says why."""

import http.client
import json
from typing import Any
from urllib.parse import quote

import openai
import pytest

from tests.serve.supervised import LINUX

from .serving import ALICE, Served, create, ended, line, lines, upload

pytestmark = LINUX


def problems(client: openai.OpenAI, data: bytes) -> list[Any]:
    """The errors of a batch that fails in its check."""
    job = ended(client, create(client, data).id)
    assert job.status == "failed" and job.failed_at is not None
    assert job.output_file_id is None and job.in_progress_at is None
    return list(job.errors.data)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{not json\n", "invalid_json_line", None),
        ("[1]\n", "invalid_json_line", None),
        (line("a", url="/v1/completions"), "mismatched_url", "url"),
        (line("a").replace("POST", "GET"), "invalid_method", "method"),
        (line("a", model="gpt-4o"), "model_not_found", "body.model"),
        (line("a", stream=True), "invalid_value", "body.stream"),
        (line("row-0"), "duplicate_custom_id", "custom_id"),
        (line("a").replace('"custom_id"', '"id"'), "missing_required_parameter", "custom_id"),
        (line("a").replace('"body"', '"bodi"'), "missing_required_parameter", "body"),
        (
            line(
                "a",
                messages=[
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "http://169.254.169.254/x"}}
                        ],
                    }
                ],
            ),
            "url_not_allowed",
            "body",
        ),
        (line("a\ud800"), "invalid_value", "custom_id"),
        (
            line("a", messages=[{"content": [{"image_url": {"url": "http://\ud800"}}]}]),
            "url_not_allowed",
            "body",
        ),
    ],
)
def test_lines(alice: openai.OpenAI, text: str, code: str, param: str | None) -> None:
    (problem,) = problems(alice, lines(2) + text.encode())
    assert (problem.code, problem.param, problem.line) == (code, param, 3)
    assert problem.message
    assert alice.batches.list(limit=1).data[0].errors is not None


def test_a_file_without_a_request(alice: openai.OpenAI) -> None:
    (problem,) = problems(alice, b"\n \n")
    assert problem.code == "empty_file"


def test_images_of_a_host_that_is_named(alice: openai.OpenAI) -> None:
    url = {"url": "https://images.example/a.png"}
    content = [{"type": "image_url", "image_url": url}]
    job = create(alice, line("a", messages=[{"role": "user", "content": content}]).encode())
    # The stand-in can't read it: what counts is that the check lets it through.
    alice.batches.retrieve(job.id)
    job = ended(alice, job.id)
    assert job.in_progress_at is not None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": "/pause"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "9999d"}, "completion_window"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ({"extra_body": {"metadata": {"a": 1}}}, "metadata"),
        (
            {"extra_body": {"output_expires_after": {"anchor": "created_at", "seconds": 1}}},
            "output_expires_after.seconds",
        ),
    ],
)
def test_batches(alice: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(alice, lines(1), **change)
    assert caught.value.param == param and caught.value.type == "invalid_request_error"


def test_no_input_file(alice: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        alice.batches.create(
            input_file_id="file-unknown",
            endpoint="/v1/chat/completions",
            completion_window="24h",
        )


def test_files(alice: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        alice.files.create(file=("a.jsonl", lines(1)), purpose="fine-tune")
    assert caught.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as caught:
        upload(alice, b"")
    assert caught.value.code == "empty_file"
    with pytest.raises(openai.BadRequestError):
        upload(alice, lines(1), "a\x1b[2Jb.jsonl")
    stored = upload(alice, lines(1), "../../../etc/passwd")
    assert stored.filename == "../../../etc/passwd"  # a text and nothing else


def raw(
    served: Served, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Status and error object of a request as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    fields = {
        "Authorization": f"Bearer {ALICE}",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    try:
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("error", {})
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/v1/files", b"{}", "application/json", 400),
        ("/v1/files", b"--x\r\nnothing", "multipart/form-data; boundary=x", 400),
        ("/v1/files", b"", "multipart/form-data", 400),
        ("/v1/batches", b"[]", "application/json", 400),
        ("/v1/batches", b"{" * 5000, "application/json", 400),
        ("/v1/batches", b"x" * (2 << 20), "application/json", 413),
        ("/v1/files/..%2f..%2fkeys", b"", "", 404),
        ("/v1/files/a%00b", b"", "", 404),
    ],
)
def test_bodies_and_paths(served: Served, path: str, body: bytes, kind: str, status: int) -> None:
    method = "GET" if path.startswith("/v1/files/") else "POST"
    got, error = raw(served, method, path, body, Content_Type=kind)
    assert got == status and error["message"] and error["type"] == "invalid_request_error"


def test_without_a_key_or_with_a_wrong_one(served: Served) -> None:
    for value in ("", "Bearer " + "w" * 40, "Bearer qchat-for-bmFtZTphbGljZQ." + "0" * 64):
        for path in ("/v1/files", "/v1/batches", "/v1/files/file-1/content"):
            status, error = raw(served, "GET", path, Authorization=value)
            assert status == 401 and error["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
@pytest.mark.parametrize(
    "limit", ["0" * 8 + "5" * 5000, "1" * 5000, "-1", "1.5", "\u0661", "x", "0"]
)
def test_limits_that_are_none(served: Served, path: str, limit: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    target = f"{path}?limit={quote(limit)}"
    connection.request("GET", target, headers={"Authorization": f"Bearer {ALICE}"})
    with connection.getresponse() as answer:
        assert answer.status == 400 and "'limit'" in json.loads(answer.read())["error"]["message"]
    connection.close()
