"""Pastes of any size: read at once, and said how much of the context they take."""

import time
from pathlib import Path

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from qchat.tui.composer.chips import estimated_tokens, paste_note
from qchat.tui.paste_parser import PasteParser
from qchat.tui.terminal_background import BackgroundQuestion, BackgroundReported

from ..faults import running
from .chat_app import toasts, window
from .pty_chat import pty_chat
from .waiting import wait_until

START, END = "\x1b[200~", "\x1b[201~"


def keys_and_pastes(parser: PasteParser, *pieces: str) -> list[str]:
    results = []
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, events.Paste):
                results.append(f"paste:{event.text}")
            elif isinstance(event, events.Key):
                results.append(event.key)
    return results


@pytest.mark.parametrize(
    ("pieces", "results"),
    [
        (["ab"], ["a", "b"]),
        ([f"a{START}one\rtwo{END}b"], ["a", "paste:one\rtwo", "b"]),
        ([f"{START}{END}"], ["paste:"]),
        ([f"{START}x\0y{END}{START}z{END}"], ["paste:xy", "paste:z"]),
        ([f"{START}one", "", " two", f"{END}c"], ["paste:one two", "c"]),
        ([f"{START}text\x1b", "[201", "~d"], ["paste:text", "d"]),
        ([START, "\x1b[20", "1~", "e"], ["paste:", "e"]),
        ([f"{START}\x1b[20", "0~", f" {END}"], ["paste:\x1b[200~ "]),
        ([f"\x1b{START}x{END}y"], ["escape", "paste:x", "y"]),
        ([f"\x1b[A{START}\x1b[A{END}\x1b[B"], ["up", "paste:\x1b[A", "down"]),
    ],
)
def test_a_paste_is_one_event_however_it_arrives(pieces: list[str], results: list[str]) -> None:
    assert keys_and_pastes(PasteParser(), *pieces) == results


def test_any_chunks_give_the_same() -> None:
    text = f"ab{START}" + "line 中文 \x1b[20 \x1b\n" * 40 + f"{END}cd{START}x{END}"
    whole = keys_and_pastes(PasteParser(), text)
    for size in range(1, 30):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        parts = keys_and_pastes(PasteParser(), *pieces)
        assert "".join(parts).replace("paste:", "") == "".join(whole).replace("paste:", ""), size


@pytest.mark.parametrize("cut", range(1, len(START)))
def test_a_paste_whose_mark_is_cut_takes_no_longer(cut: int) -> None:
    parser = PasteParser()
    assert keys_and_pastes(parser, "a" + START[:cut]) == ["a"]
    text = "\x1b[200~ of a paste in a paste \x1b[A" * 10_000
    began = time.process_time()
    assert keys_and_pastes(parser, f"{START[cut:]}{text}{END}b") == [f"paste:{text}", "b"]
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("typed", ["\x1b", "\x1b[", "\x1b[2", "\x1b[200", "\x1b\x1b", "\x1b[A\x1b"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_only_begins_like_a_paste_is_typed(typed: str, at_once: bool) -> None:
    pieces = [typed] if at_once else list(typed)
    ours, textuals = PasteParser(), XTermParser()
    keys = keys_and_pastes(ours, *pieces)
    expected = [event for piece in pieces for event in textuals.feed(piece)]

    def are_typed() -> bool:
        expected.extend(textuals.tick())
        keys.extend(event.key for event in ours.tick() if isinstance(event, events.Key))
        return expected != [] and keys == [e.key for e in expected if isinstance(e, events.Key)]

    await wait_until(are_typed)
    assert keys_and_pastes(ours, f"{START}x{END}y")[-2:] == ["paste:x", "y"]


@pytest.mark.parametrize(
    "pieces", [["\x1be\x1b[3;4R"], ["\x1be", "\x1b[3;4R"], ["\x1b", "e", "\x1b[3;4R"]]
)
def test_an_alt_key_right_before_an_answer_of_the_terminal(pieces: list[str]) -> None:
    assert keys_and_pastes(PasteParser(), *pieces, "\x1bx\x1b[A", "y") == [
        *("alt+e", "alt+x", "up", "y")
    ]


def test_nothing_is_taken_out_of_a_paste() -> None:
    reply = "\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\"
    background = BackgroundQuestion()
    background.ask()
    parser = PasteParser(background)
    assert keys_and_pastes(parser, f"{START}a{reply}b{END}c") == [f"paste:a{reply}b", "c"]
    assert keys_and_pastes(parser, f"{START}\x1b]11;", f"rgb:x\x07{END}") == [
        "paste:\x1b]11;rgb:x\x07"
    ]
    assert [type(event) for event in parser.feed(reply)] == [BackgroundReported]
    assert keys_and_pastes(parser, f"{START}{reply}{END}") == [f"paste:{reply}"]


def test_five_megabytes_take_no_time() -> None:
    text = "some words of a long text\r" * 200_000
    began = time.process_time()
    pieces = [START + text + END]
    pieces = [pieces[0][at : at + 4_095] for at in range(0, len(pieces[0]), 4_095)]
    assert keys_and_pastes(PasteParser(), *pieces) == [f"paste:{text}"]
    assert time.process_time() - began < 1.0  # character by character it is a minute


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("abcd" * 100, 100), ("中文" * 100, 140), ("é" * 4, 3)]
)
def test_tokens_are_estimated(text: str, tokens: int) -> None:
    assert abs(estimated_tokens(text) - tokens) <= 1


def test_what_a_paste_takes_of_the_context() -> None:
    text = "abcd" * 1_000
    assert paste_note(text, 0, None) == ("Pasted 3.9 KiB, about 1,000 tokens.", False)
    note, too_large = paste_note(text, 100, 4_000)
    assert note.endswith("25% of the model's context.") and not too_large
    note, too_large = paste_note(text, 3_500, 4_000)
    assert "more than the 500 that are left" in note and too_large


async def test_the_size_is_said_before_it_is_sent(tmp_path: Path) -> None:
    with running(max_model_len=4_096) as server:
        async with window(tmp_path, server.base_url) as (app, pilot):
            await wait_until(lambda: app.parts.settings.context_limit == 4_096)
            app.composer.post_message(events.Paste("word " * 100_000))
            await wait_until(lambda: "more than the 4,096" in toasts(app))
            assert app.composer.text == "[pasted 500,000 characters]"
            await pilot.press("ctrl+u")


def test_a_large_paste_through_a_terminal(tmp_path: Path) -> None:
    with running() as server, pty_chat(tmp_path, "--base-url", server.base_url) as chat:
        chat.wait_for(b"sk anything; / for commands")
        text = b"\x1b[200~" + b"a line of words\r" * 320_000 + b"\x1b[201~"
        chat.send_all(text)
        chat.wait_for(b"320,000 lines")
        chat.send(b"\x11")
        assert chat.end() == 0
