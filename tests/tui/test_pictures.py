"""Pictures: attached, told to the model, stored, drawn; a text-only model is told before."""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from textual import events

from qchat.errors import UsageError
from qchat.sanitize import one_line
from qchat.store import open_store
from qchat.tui.composer.chips import Chips
from qchat.tui.composer.pictures import LIMIT, pasted_path, picture_type, picture_url
from qchat.tui.markdown import DARK
from qchat.tui.markdown.palette import NO_COLOR
from qchat.tui.transcript.pictures import MAX_ROWS, picture_lines

from ..faults import Running, running
from .chat_app import answered, chat, texts, toasts, type_in, window
from .screens import screen
from .waiting import wait_until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as result:
        yield result


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture, the upper half red and the lower half blue."""
    path = tmp_path / "my photo.png"
    image = Image.new("RGB", (64, 32), "#ff0000")
    image.paste("#0000ff", (0, 16, 64, 32))
    image.save(path)
    return path


def test_what_a_picture_is_decides_its_content(tmp_path: Path, photo: Path) -> None:
    assert picture_url(photo).startswith("data:image/png;base64,")
    assert picture_type(b"\xff\xd8\xff\xe0") == "jpeg"
    assert picture_type(b"RIFF\0\0\0\0WEBPVP8 ") == "webp"
    (tmp_path / "a.png").write_text("<svg/>")
    with pytest.raises(UsageError, match="not a PNG"):
        picture_url(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(LIMIT))
    with pytest.raises(UsageError, match="limit for pictures"):
        picture_url(tmp_path / "b.png")


def test_only_the_path_of_a_picture_is_one(tmp_path: Path, photo: Path) -> None:
    for text in (f"'{photo}'", str(photo).replace(" ", "\\ "), photo.as_uri(), f"{photo}\n"):
        assert pasted_path(text) == photo, text
    (tmp_path / "notes.png").write_text("text")
    for text in (f"see {photo}", photo.name, str(tmp_path / "notes.png"), "", "\0", "~nobody/x"):
        assert pasted_path(text) is None, text
    for text in ("file://[abc", "file://[x]", "file://[", "file:///%00"):
        assert pasted_path(text) is None, text


@pytest.mark.parametrize(
    "name", ["a\x1b]0;evil\x07b.png", "a\nb.png", "a\u202eb.png", "a\x9bb.png"]
)
def test_a_name_that_a_terminal_would_obey_is_no_pasted_path(
    tmp_path: Path, photo: Path, name: str
) -> None:
    path = photo.rename(tmp_path / name)
    assert pasted_path(path.as_uri()) is None
    assert pasted_path(f"'{path}'") is None
    chip = Chips().attach_picture(path, path.name)
    assert chip.label.startswith("[@a") and chip.label == one_line(chip.label)


def test_a_name_with_rare_blanks_is_a_pasted_path(tmp_path: Path, photo: Path) -> None:
    path = photo.rename(tmp_path / "Screenshot 3.45\u202fPM.png")  # as macOS names them
    assert pasted_path(path.as_uri()) == path


async def test_what_is_said_of_a_file_is_no_command_for_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;evil\x07b.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(LIMIT))
    async with window(tmp_path / "store") as (app, _pilot):
        app.composer.put_picture(path, path.name)
        await wait_until(lambda: "is larger than" in toasts(app))
        assert "\x1b" not in toasts(app) and "ab.png" in toasts(app)


def test_it_is_drawn_in_half_blocks(photo: Path) -> None:
    *lines, caption = picture_lines(picture_url(photo), 20, DARK)
    assert "PNG 64×32" in caption.text
    assert [line.text for line in lines] == ["▀" * 20] * 5
    style = lines[0].segments[0].style
    assert style is not None and style.color is not None and style.color.name == "#ff0000"
    assert all(line.content == "" for line in lines)  # nothing of it is text to copy
    only = picture_lines(picture_url(photo), 20, NO_COLOR)
    assert len(only) == 1 and "PNG" in only[0].text


@pytest.mark.parametrize(
    "url",
    ["data:image/png;base64,AAAA", "data:image/png;base64,!", "http://h.example/\x1b[31mp.png", ""],
)
def test_what_is_no_picture_is_a_line(url: str) -> None:
    lines = picture_lines(url, 20, DARK)
    assert len(lines) == 1 and "\x1b" not in lines[0].text


def test_a_tall_picture_is_no_higher_than_the_limit() -> None:
    data = io.BytesIO()
    Image.new("L", (10, 4000)).save(data, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
    assert len(picture_lines(url, 60, DARK)) <= MAX_ROWS + 1


async def test_a_pasted_picture_is_sent_stored_and_drawn(
    tmp_path: Path, server: Running, photo: Path
) -> None:
    store = tmp_path / "store"
    with chat(store, server.base_url) as app:
        async with app.run_test(size=(80, 30)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            app.composer.post_message(events.Paste(str(photo)))
            await wait_until(lambda: "[@my photo.png" in app.composer.text)
            await pilot.press(*"what", "enter")
            await answered(app, 2)
            assert "`my photo.png` what" in texts(app)[0]
            await wait_until(lambda: "▀▀▀" in screen(app))
            assert "PNG 64×32" in screen(app)
    sent = [
        record.body["messages"][-1]["content"]
        for record in server.log.records
        if isinstance(record.body, dict) and "stream" in record.body
    ]
    assert [part["type"] for part in sent[0]] == ["text", "image_url"]
    assert sent[0][1]["image_url"]["url"] == picture_url(photo)
    photo.unlink()  # the conversation has it
    with chat(store, server.base_url, go_on=True) as app:
        async with app.run_test(size=(80, 30)):
            await wait_until(lambda: "PNG 64×32" in screen(app))
    with open_store(store) as opened:
        last = opened.conversations.last()
        assert last is not None
        parts = opened.for_api(last.id)[0]["content"]
        assert parts[1]["image_url"]["url"].startswith("data:image/png")


async def test_a_picture_of_the_clipboard_is_a_private_file_until_it_is_stored(
    tmp_path: Path, server: Running, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, data = tmp_path / "home", photo.read_bytes()
    monkeypatch.setenv("QCHAT_HOME", str(home))
    monkeypatch.setattr("qchat.tui.clipboard.read_picture", lambda: data)
    old = home / "state" / "clipboard" / "old.png"
    old.parent.mkdir(mode=0o700, parents=True)
    old.touch()
    os.utime(old, (0, 0))
    with chat(tmp_path / "store", server.base_url) as app:
        async with app.run_test(size=(80, 30)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            await type_in(app, "/picture")
            await wait_until(lambda: "[@clipboard" in app.composer.text)
            (file,) = old.parent.iterdir()
            assert file.read_bytes() == data and file.stat().st_mode & 0o777 == 0o600
            await pilot.press(*"what", "enter")
            await answered(app, 2)
            await wait_until(lambda: "PNG 64×32" in screen(app))
            assert list(old.parent.iterdir()) == []
            monkeypatch.setattr("qchat.tui.clipboard.read_picture", lambda: b"text")
            await type_in(app, "/picture")
            await wait_until(lambda: "is not a PNG" in toasts(app))
            assert list(old.parent.iterdir()) == [] and app.composer.text == ""
    assert photo.exists()


async def test_a_text_only_model_is_told_of_before_anything_is_sent(
    tmp_path: Path, server: Running, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.api.vision.reads_pictures", lambda endpoint, model: False)
    with chat(tmp_path / "store", server.base_url) as app:
        async with app.run_test(size=(80, 30)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            app.composer.post_message(events.Paste(str(photo)))
            await wait_until(lambda: "[@my photo.png" in app.composer.text)
            await pilot.press("enter")
            await wait_until(lambda: "reads text only" in toasts(app))
            await wait_until(lambda: "[@my photo.png" in app.composer.text)
            assert texts(app) == [] and app.conversation.id is None
    assert not server.log.records


async def test_in_a_browser_no_file_is_a_picture(tmp_path: Path, photo: Path) -> None:
    with chat(tmp_path / "store", "http://127.0.0.1:9/v1") as app:
        async with app.run_test(size=(80, 30)):
            await wait_until(lambda: app.conversation.is_open)
            app.composer.takes_pictures = False
            app.composer.post_message(events.Paste(str(photo)))
            await wait_until(lambda: app.composer.text == str(photo))
            with pytest.raises(UsageError, match="only text files"):
                app.composer.attach(photo, photo.name, 1_000_000)
