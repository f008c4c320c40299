"""Results of a run as they stand in its files, for the tests of reports."""

import json
from html.parser import HTMLParser
from pathlib import Path

HOSTILE = (
    "</pre><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "<style>body{display:none}</style>&lt;b&gt;\x1b[31mred\x1b]0;title\x07 \u202egnp.exe"
    "' onmouseover='document.title=1' \" <!-- <![CDATA["
)


def row(line: int, **columns: object) -> dict[str, object]:
    """A line of the results; `columns` go over it."""
    mark = {
        "file": "in.jsonl",
        "line": line,
        "source": f"{line:016x}",
        "digest": f"{line:032x}",
        "attempts": 1,
        "quality": "ok",
        "seconds": 1.0 + line / 100,
        "at": 1_790_000_000.0 + line,
    }
    return {
        "prompt": f"question {line}",
        "output": f"answer {line}",
        "reasoning": None,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
        "model": "m",
        "_qchat": mark | dict(columns.pop("_qchat", {})),  # type: ignore[call-overload]
        **columns,
    }


def openai_row(line: int, text: str) -> dict[str, object]:
    """A line of OpenAI's results."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    body = {
        "model": "m",
        "created": 1_790_000_000 + line,
        "choices": [choice | {"finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    response = {"status_code": 200, "request_id": f"{line:032x}", "body": body}
    return {
        "id": f"qchat-1-{line}",
        "custom_id": f"id-{line}",
        "response": response,
        "error": None,
    }


def failed_row(line: int, code: str, message: str, source: object) -> dict[str, object]:
    """A line of the errors."""
    return {
        "file": "in.jsonl",
        "line": line,
        "custom_id": f"in-{line}",
        "error": {"code": code, "message": message, "retryable": False},
        "attempts": 1,
        "input": source,
        "digest": f"{line:032x}",
        "source": f"{line:016x}",
    }


def write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Page(HTMLParser):
    """What a parser makes of a page: its elements, and the text of each kind of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: dict[str, set[str]] = {}
        self.values: list[str] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes.setdefault(tag, set()).update(name for name, _value in attrs)
        self.values += [value or "" for _name, value in attrs]
        if tag not in ("meta", "input", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag] = self.texts.get(tag, "") + data

    @property
    def text(self) -> str:
        return self.texts["body"]
