"""The official client's calls against the Batch API, as OpenAI's guide and cookbook make them."""

import asyncio
import json
import urllib.request
from pathlib import Path

import openai
import pytest

from tests.serve.supervised import LINUX

from .serving import ALICE, Served, create, ended, line, lines, records, upload, wait_for

pytestmark = LINUX


def test_the_flow_of_the_cookbook(alice: openai.OpenAI, tmp_path: Path) -> None:
    """Tasks to a file, upload, batch, wait, results by custom_id, as its example does."""
    films = ["A shark", "Two brothers", "A ring"]
    tasks = [
        {
            "custom_id": f"task-{index}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "demo",
                "temperature": 0.1,
                "response_format": {"type": "json_object"},
                "messages": [
                    {"role": "system", "content": "Categorise the film."},
                    {"role": "user", "content": film},
                ],
            },
        }
        for index, film in enumerate(films)
    ]
    file_name = tmp_path / "batch_tasks_movies.jsonl"
    file_name.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    with file_name.open("rb") as file:
        batch_file = alice.files.create(file=file, purpose="batch")
    assert batch_file.filename == file_name.name and batch_file.bytes == file_name.stat().st_size
    job = alice.batches.create(
        input_file_id=batch_file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"description": "films"},
    )
    assert job.status == "validating" and job.request_counts is not None
    assert job.expires_at == job.created_at + 86400
    job = ended(alice, job.id)
    assert job.status == "completed" and job.metadata == {"description": "films"}
    counts = job.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 3, 0)
    moments = [job.created_at, job.in_progress_at, job.finalizing_at, job.completed_at]
    assert moments == sorted(moments)
    assert job.error_file_id is None and job.errors is None and job.failed_at is None
    assert job.usage is not None and job.usage.total_tokens == 15
    (tmp_path / "results.jsonl").write_bytes(alice.files.content(job.output_file_id).content)
    results = [json.loads(text) for text in (tmp_path / "results.jsonl").open()]
    texts = {
        result["custom_id"]: result["response"]["body"]["choices"][0]["message"]["content"]
        for result in results
    }
    assert texts == {f"task-{i}": f"echo {film}" for i, film in enumerate(films)}
    assert all(result["error"] is None for result in results)
    assert all(set(result) == {"id", "custom_id", "response", "error"} for result in results)
    output = alice.files.retrieve(job.output_file_id)
    assert output.purpose == "batch_output" and output.bytes == sum(
        len(text) for text in (tmp_path / "results.jsonl").open("rb")
    )


def test_rows_that_fail_stand_in_the_error_file(alice: openai.OpenAI) -> None:
    job = ended(alice, create(alice, lines(2) + line("wrong", "a bad one").encode()).id)
    assert job.status == "completed"
    assert (job.request_counts.completed, job.request_counts.failed) == (2, 1)
    (error,) = records(alice, job.error_file_id)
    assert error["custom_id"] == "wrong" and error["response"]["status_code"] == 400
    assert "refused" in error["error"]["message"]
    assert set(error) == {"id", "custom_id", "response", "error"}


def test_embeddings(alice: openai.OpenAI) -> None:
    data = line("e", url="/v1/embeddings", input="text").encode()
    job = ended(alice, create(alice, data, endpoint="/v1/embeddings").id)
    (result,) = records(alice, job.output_file_id)
    assert result["response"]["body"]["data"][0]["embedding"] == [1.0]


def test_requests_arrive_as_they_are_written(alice: openai.OpenAI, served: Served) -> None:
    """No setting of whoever runs the server changes them."""
    question = "as it is"
    config = served.folder / "home" / "config"
    config.mkdir(exist_ok=True)
    (config / "config.toml").write_text('preset = "qwen3-thinking"\n')
    try:
        ended(alice, create(alice, line("a", question, seed=7).encode()).id)
    finally:
        (config / "config.toml").unlink()
    asked = [json.loads(text) for text in (served.folder / "asked").read_text().splitlines()]
    (names,) = [names for text, names in asked if text == question]
    assert set(names) - {"priority"} == {"messages", "model", "seed"}


def test_the_async_client(served: Served) -> None:
    async def flow() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=ALICE) as client:
            file = await client.files.create(file=("a.jsonl", lines(3)), purpose="batch")
            job = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            async with asyncio.timeout(60):
                while job.status != "completed":
                    await asyncio.sleep(0.1)
                    job = await client.batches.retrieve(job.id)
            content = await client.files.content(job.output_file_id or "")
            newest = await anext(aiter(client.batches.list(limit=1)))
            assert newest.id == job.id
            deleted = await client.files.delete(file.id)
            assert deleted.deleted
            return [json.loads(text)["custom_id"] for text in content.text.splitlines()]

    assert sorted(asyncio.run(flow())) == ["row-0", "row-1", "row-2"]


def test_pages(served: Served, bob: openai.OpenAI) -> None:
    """Newest first, with `after` and `limit`, as the client's iteration asks for them."""
    data = lines(1)
    jobs = [create(bob, data).id for _number in range(5)]
    page = bob.batches.list(limit=2)
    assert [job.id for job in page.data] == jobs[:2:-1] and page.has_more
    assert [job.id for job in bob.batches.list(limit=2)][:5] == jobs[::-1]
    after = bob.batches.list(limit=2, after=jobs[1])
    assert [job.id for job in after.data] == [jobs[0]] and not after.has_more
    for job in jobs:
        ended(bob, job)
    inputs = [file.id for file in bob.files.list(purpose="batch", order="asc", limit=2)]
    assert len(inputs) == 5
    assert [file.id for file in bob.files.list(purpose="batch", limit=3)] == inputs[::-1]
    assert len(list(bob.files.list(purpose="batch_output"))) == 5
    for bad in ({"limit": 0}, {"limit": 101}, {"after": "batch_unknown"}):
        with pytest.raises(openai.BadRequestError):
            bob.batches.list(**bad)  # type: ignore[arg-type]


def test_another_keys_files_and_batches_are_not_there(
    alice: openai.OpenAI, bob: openai.OpenAI
) -> None:
    job = ended(alice, create(alice, lines(1)).id)
    assert job.output_file_id is not None
    for call in (
        lambda: bob.batches.retrieve(job.id),
        lambda: bob.batches.cancel(job.id),
        lambda: bob.files.retrieve(job.input_file_id),
        lambda: bob.files.content(job.output_file_id or ""),
        lambda: bob.files.delete(job.output_file_id or ""),
        lambda: bob.batches.create(
            input_file_id=job.input_file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
        ),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert caught.value.body["message"] and caught.value.body["code"] == "not_found"  # type: ignore[index,call-overload]
    assert job.id not in [each.id for each in bob.batches.list()]
    assert job.input_file_id not in [each.id for each in bob.files.list()]
    assert alice.files.retrieve(job.output_file_id).id == job.output_file_id


def test_a_deleted_file_is_gone_but_its_batch_ends(alice: openai.OpenAI, served: Served) -> None:
    file = upload(alice, lines(4, "slow one"))
    job = alice.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert alice.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        alice.files.content(file.id)
    job = ended(alice, job.id)
    assert job.request_counts.completed == 4
    wait_for(
        lambda: not (served.state / "files" / f"{file.id}.jsonl").exists(), "the content stays"
    )


def test_cancel(alice: openai.OpenAI) -> None:
    """What was answered is kept; a batch that has ended can't be cancelled."""
    data = lines(3) + b"".join(line(f"h{i}", "hang").encode() for i in range(3))
    job = create(alice, data)

    def has_answers() -> bool:
        counts = alice.batches.retrieve(job.id).request_counts
        return counts is not None and counts.completed >= 3

    wait_for(has_answers, "nothing is answered")
    cancelled = alice.batches.cancel(job.id)
    assert cancelled.status == "cancelling" and cancelled.cancelling_at is not None
    assert alice.batches.cancel(job.id).status in ("cancelling", "cancelled")
    job = ended(alice, job.id)
    assert job.status == "cancelled" and job.cancelled_at is not None
    assert sorted(r["custom_id"] for r in records(alice, job.output_file_id)) == [
        *("row-0", "row-1", "row-2")
    ]
    finished = ended(alice, create(alice, lines(1)).id)
    with pytest.raises(openai.ConflictError) as caught:
        alice.batches.cancel(finished.id)
    assert "completed" in str(caught.value)


def test_a_batch_counts_for_its_owner(served: Served) -> None:
    """Its limits hold, and its requests and tokens are counted under its name."""
    key = "c" * 40
    with (served.folder / "keys").open("a") as file:
        file.write(f"carol {key} max-running=2\n")
    client = served.client(key)

    def is_known() -> bool:
        try:
            return client.batches.list() is not None
        except openai.AuthenticationError:
            return False

    wait_for(is_known, "the key is not read")
    job = ended(client, create(client, lines(12, "slow one")).id)
    assert job.request_counts.completed == 12 and job.request_counts.failed == 0
    request = urllib.request.Request(f"{served.url}/metrics")
    request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        metrics = answer.read().decode()
    assert 'qchat_requests_total{key="carol"} 12' in metrics
    assert 'qchat_request_tokens_total{key="carol"} 60' in metrics


def test_a_revoked_key_ends_its_batch(served: Served, alice: openai.OpenAI) -> None:
    key, keys = "d" * 40, served.folder / "keys"
    before = keys.read_text()
    keys.write_text(f"{before}dora {key}\n")
    client = served.client(key)

    def is_known() -> bool:
        try:
            return client.batches.list() is not None
        except openai.AuthenticationError:
            return False

    wait_for(is_known, "the key is not read")
    job = create(client, line("h", "hang").encode() + lines(2))
    wait_for(lambda: client.batches.retrieve(job.id).request_counts.completed == 2, "no answer")  # type: ignore[union-attr]
    keys.write_text(before)
    wait_for(lambda: not is_known(), "the key is not revoked")
    # Its requests in flight may end; it gets no others, and nobody else's batches are hindered.
    assert ended(alice, create(alice, lines(2)).id).status == "completed"


def test_rows_that_are_all_refused_are_failures_of_their_own(alice: openai.OpenAI) -> None:
    """More than what ends a run of `qchat batch` by itself, before the first answer."""
    bad = b"".join(line(f"bad {n}", "a bad one").encode() for n in range(25))
    job = ended(alice, create(alice, bad + lines(2, "slow one")).id)
    assert job.status == "completed"
    assert (job.request_counts.completed, job.request_counts.failed) == (2, 25)
    errors = records(alice, job.error_file_id)
    assert {error["response"]["status_code"] for error in errors} == {400}


def test_lines_without_messages_are_failures_of_their_own(alice: openai.OpenAI) -> None:
    wrong = [{}, {"messages": []}, {"messages": [{"role": "function", "content": "x"}]}]
    data = [
        {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for n, body in enumerate({"model": "demo", **more} for more in wrong)
    ]
    text = "".join(json.dumps(one) + "\n" for one in data)
    job = ended(alice, create(alice, text.encode()).id)
    assert job.status == "completed" and job.request_counts.failed == len(wrong)
    errors = records(alice, job.error_file_id)
    assert {error["custom_id"] for error in errors} == {"r0", "r1", "r2"}
    assert all(set(error) == {"id", "custom_id", "response", "error"} for error in errors)
    assert "/" not in "".join(error["error"]["message"] for error in errors)
