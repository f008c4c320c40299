"""The files of a deployment in the language of the screen: comments, alerts, titles of panels.

Documents and scripts are not among them; they have, or are, translations of their own.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import PurePath

from ..cells import wrap

_COLUMNS = 100
_OWN_LANGUAGE = (".md", ".sh")
_STRING = re.compile(
    r'^(?P<head>\s*"?(?:title|description|summary)"?: )(?P<text>"(?:[^"\\]|\\.)*")(?P<tail>,?)$'
)
_COMMENT = re.compile(r"(\s*# )\S")
_BESIDE_CODE = re.compile(r"^(?P<head>.*\S  # )(?P<text>.+)$")
_CODE_END = ";"  # a line of code that is commented out


def translate(name: str, text: str, translated: Callable[[str], str]) -> str:
    """Return the text of a file with each of its `texts` as `translated` gives it."""
    if PurePath(name).suffix in _OWN_LANGUAGE:
        return text
    return "\n".join(_lines(text.split("\n"), translated))


def texts(name: str, text: str) -> Iterator[str]:
    """Yield what is to be translated in a file: each paragraph of comments, and each string that a
    person reads."""
    found: list[str] = []

    def keep(one: str) -> str:
        found.append(one)
        return one

    translate(name, text, keep)
    yield from found


def _lines(lines: list[str], translated: Callable[[str], str]) -> Iterator[str]:
    for head, group in groupby(lines, key=_comment_head):
        if head is None:
            yield from (_line(line, translated) for line in group)
        else:
            text = " ".join(line[len(head) :] for line in group)
            parts = wrap(translated(text), _COLUMNS - len(head))
            yield from (head + part for part in parts)


def _comment_head(line: str) -> str | None:
    match = None if line.endswith(_CODE_END) else _COMMENT.match(line)
    return match and match[1]


def _line(line: str, translated: Callable[[str], str]) -> str:
    if match := _STRING.match(line):
        text = json.dumps(translated(json.loads(match["text"])), ensure_ascii=False)
        return f"{match['head']}{text}{match['tail']}"
    if match := _BESIDE_CODE.match(line):
        return match["head"] + translated(match["text"])
    return line
