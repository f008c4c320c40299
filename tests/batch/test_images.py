"""`--image-column`: which files a row can send to a server."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.inputs import images
from qchat.batch.inputs.images import ImageColumn
from qchat.batch.inputs.lines import BadLineError
from qchat.batch.inputs.template import EmptyCellError, EmptyRule
from qchat.batch.request import Outcome, Request

from .commands import batch, read, write
from .echo import Echo, echoing

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


def add(column: ImageColumn, row: dict[str, Any], rule: EmptyRule = EmptyRule.ERROR) -> Any:
    body = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "what?"}]}
    return column.add_to(body, row, rule)["messages"][1]["content"]


@pytest.fixture
def column(tmp_path: Path) -> ImageColumn:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "a.png").write_bytes(PNG)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    (tmp_path / "outside.png").write_bytes(PNG)
    return ImageColumn("image").below(tmp_path / "data" / "in.csv")


def test_a_file_becomes_a_part_before_the_text(column: ImageColumn) -> None:
    part, text = add(column, {"image": "a.png"})
    head, _comma, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(data) == PNG
    assert text == {"type": "text", "text": "what?"}
    absolute = str((column.root or Path()) / "a.png")
    assert len(add(column, {"image": [absolute, "in/../a.png", None]})) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside.png", "is not below"),
        ("/etc/passwd", "is not below"),
        ("link.png", "is not below"),
        ("folder/outside.png", "is not below"),
        ("secret.png", "is no image"),
        ("none.png", "can't be read"),
        ("pipe.png", "is no file"),
        ("in", "can't be read: Is a directory"),
        ("large.png", "is larger than 20 MB"),
        ("a\0.png", "is no path"),
        ("file:///etc/passwd", "not by file:"),
        ("ftp://host/a.png", "not by ftp:"),
        ("data:text/plain;base64,aGk=", "not by data:"),
        ("http://[::1", "'http://\\[::1' is no URL"),
        ("https://a\u2100b/c.png", "is no URL"),
        (7, "must hold paths"),
    ],
)
def test_what_is_no_image_below_the_folder_is_refused(
    column: ImageColumn, tmp_path: Path, name: object, message: str
) -> None:
    data = tmp_path / "data"
    (data / "link.png").symlink_to(tmp_path / "outside.png")
    (data / "folder").symlink_to(tmp_path)
    (data / "secret.png").write_text("-----BEGIN PRIVATE KEY-----")
    os.mkfifo(data / "pipe.png")
    with (data / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(BadLineError, match=message):
        add(column, {"image": name})


def test_urls_are_passed_on_and_cells_may_be_empty(column: ImageColumn) -> None:
    url = "https://example.org/a.png"
    assert add(column, {"image": url})[0]["image_url"]["url"] == url
    assert add(column, {"image": None}, EmptyRule.ASK) == "what?"
    with pytest.raises(EmptyCellError):
        add(column, {"image": ""}, EmptyRule.SKIP)
    with pytest.raises(BadLineError, match="no column 'image'"):
        add(column, {})


def test_a_run_sends_images_and_keeps_them_out_of_its_files(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(PNG)
    write(
        "in.jsonl", {"photo": "a.png", "prompt": "What is it?"}, {"photo": "b.png", "prompt": "?"}
    )
    bodies: list[str] = []

    class Recording(Echo):
        async def answer(self, request: Request) -> Outcome:
            bodies.append(str(request.body))
            return await super().answer(request)

    args = ("in.jsonl", "--image-column", "photo", "--media-root", "photos", "-o", "out.jsonl")
    with echoing(Recording()):
        assert batch(*args) == 1
    assert len(bodies) == 1 and "data:image/png;base64" in bodies[0]
    (row,) = read("out.jsonl")
    assert row["photo"] == "a.png" and "base64" not in Path("out.jsonl").read_text()
    (error,) = read("out.errors.jsonl")
    assert "b.png can't be read" in error["error"]["message"]  # type: ignore[index]
    Path("in.csv").write_text("a\n1\n")
    assert batch("in.csv", "--template", "{a}", "--image-column", "photo", "--check") == 2
    assert "no column 'photo' for --image-column" in capfd.readouterr().err


@pytest.mark.parametrize("changed", [["a.png"], ["a.png", "b.png"]])
def test_a_row_whose_image_is_another_one_is_an_edited_row(
    home: Path, capfd: pytest.CaptureFixture[str], changed: list[str]
) -> None:
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(PNG)
    write("in.jsonl", *({"photo": name, "prompt": "What?"} for name in ("a.png", "b.png")))
    args = ("in.jsonl", "--image-column", "photo", "-o", "out.jsonl")
    with echoing():
        assert batch(*args) == 0
        before = read("out.jsonl")
        assert batch(*args) == 0
        assert read("out.jsonl") == before
        for name in changed:
            Path(name).write_bytes(PNG + b"more")
        capfd.readouterr()
        assert batch(*args) == 0
    rows = {str(row["photo"]): row for row in read("out.jsonl")}
    assert rows.keys() == {"a.png", "b.png"}
    kept = [row for row in before if row["photo"] not in changed]
    assert [row for row in rows.values() if row["photo"] not in changed] == kept
    assert len(read("out.removed.jsonl")) == len(changed)
    assert not Path("out.damaged.jsonl").exists()
    assert "changed and " in capfd.readouterr().err


def test_answers_of_a_version_that_knew_the_line_alone_are_kept(home: Path) -> None:
    Path("a.png").write_bytes(PNG)
    write("in.jsonl", {"photo": "a.png", "prompt": "What?"})
    args = ("in.jsonl", "--image-column", "photo", "-o", "out.jsonl")
    with echoing():
        assert batch(*args) == 0
        (before,) = read("out.jsonl")
        mark = before["_qchat"]
        assert isinstance(mark, dict)
        old = {**before, "_qchat": {**mark, "source": "0123456789abcdef"}}
        Path("out.jsonl").write_text(json.dumps(old) + "\n")
        assert batch(*args) == 0
    assert read("out.jsonl") == [before]
