"""Shows the answers of a results file: ``python examples/show_answers.py FILE.results.jsonl``.

Questions and answers stand below one another in the order of the input. Long answers are cut
(``--full`` shows them whole). What the model said can't command the terminal: control characters
are dropped or made visible.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from qchat.sanitize import clean

MAX_LINES = 12
MAX_CHARACTERS = 700
SPARE = 200  # not worth cutting off


class Answer(NamedTuple):
    """One row of the results, as text that is safe to show."""

    question: str
    answer: str
    notes: str
    line: int = 0


def read_answers(lines: Iterable[bytes], prefix: str = "") -> Iterator[Answer]:
    """The rows of a results file. Raises `ValueError` with the line number for a bad line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise ValueError(f"line {number} is not JSON") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not an object")
        yield from _answers_of(row, prefix)


def _answers_of(row: dict[str, Any], prefix: str) -> Iterator[Answer]:
    response = row.get("response")
    if isinstance(response, dict):  # a line of OpenAI's format does not repeat its question
        choices = (response.get("body") or {}).get("choices") or []
        messages = [choice.get("message") or {} for choice in choices]
        question = str(row.get("custom_id"))
        number = str(row.get("id")).rpartition("-")[2]
        line = int(number) if number.isdecimal() else 0
        texts = [message.get("content") for message in messages]
        thoughts = [message.get("reasoning") for message in messages]
        calls = [message.get("tool_calls") for message in messages]
    else:
        question = _question(row)
        mark = row.get(prefix + "_qchat")
        line = mark.get("line", 0) if isinstance(mark, dict) else 0
        columns = [row.get(prefix + key) for key in ("output", "reasoning", "tool_calls")]
        # With n > 1 each is a list, one for each answer.
        several = isinstance(columns[0], list)
        texts, thoughts, calls = [value or [] if several else [value] for value in columns]
    for index, text in enumerate(texts):
        thought = thoughts[index] if index < len(thoughts) else None
        called = calls[index] if index < len(calls) else None
        notes = f"thought for {len(thought):,} characters" if thought else ""
        yield Answer(clean(question), clean(_text(text) or _calls(called)), notes, line)


def _question(row: dict[str, Any]) -> str:
    messages = row.get("messages")
    if isinstance(messages, list):
        questions = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        return _text(questions[-1].get("content")) if questions else ""
    return _text(row.get("prompt"))


def _text(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict)]
        return "\n".join(str(part) for part in parts)
    return "" if content is None else str(content)


def _calls(calls: Any) -> str:
    functions = [call.get("function") or {} for call in calls or [] if isinstance(call, dict)]
    return "\n".join(f"calls {call.get('name')}({call.get('arguments')})" for call in functions)


def shorten(text: str, lines: int = MAX_LINES, characters: int = MAX_CHARACTERS) -> str:
    """The beginning of a long text, with a word on how much is left out."""
    head = "\n".join(text.strip().splitlines()[:lines])[:characters]
    left = len(text.strip()) - len(head)
    return f"{head}\n… ({left:,} more characters)" if left > SPARE else text.strip()


def fold(line: str, width: int) -> Iterator[str]:
    """A line in pieces of at most `width` columns, broken between words where there are any."""
    pieces: Iterable[Text] = Text(line).wrap(Console(width=width), width) if line else []
    yield from (piece.plain.rstrip() for piece in pieces)
    if not line:
        yield ""


def show(answer: Answer, *, full: bool, colour: bool, width: int | None = None) -> str:
    """The pair as it stands on the screen, of `width` columns if it is one."""
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if colour else ("", "", "")
    question = answer.question if full else shorten(answer.question)
    text = answer.answer.strip() if full else shorten(answer.answer)
    notes = f"  {dim}({answer.notes}){plain}" if answer.notes else ""
    head = f"{bold}▸ {question}{plain}{notes}"
    lines = text.splitlines() or ["(empty)"]
    if width is not None:
        lines = [piece for line in lines for piece in fold(line, max(width - 2, 20))]
    return head + "\n" + "\n".join(f"  {line}".rstrip() for line in lines) + "\n"


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Show the answers of a results file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--full", action="store_true", help="do not cut long answers")
    parser.add_argument("--prefix", default="", help="as given to qchat batch")
    options = parser.parse_args()
    # A terminal that can't show a character must not cost the answer.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    colour = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if colour else None
    count = 0
    try:
        with options.file.open("rb") as lines:
            for answer in sorted(read_answers(lines, options.prefix), key=lambda a: a.line):
                count += 1
                print(show(answer, full=options.full, colour=colour, width=width))
        print(f"{count} answers, whole in {clean(str(options.file))}", flush=True)
    except BrokenPipeError:
        # Whoever read along (head, less) has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        print(f"{options.file}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
