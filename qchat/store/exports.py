"""Export to Markdown, HTML, JSON and lines of messages (JSONL), and import of the last two.

What is written holds the source text, but nothing that a terminal takes for a command: in
Markdown such characters are dropped or shown, in JSON they are escaped, so nothing is lost.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..console import json_text
from ..errors import EngineError, UsageError, json_fault
from ..files import replacing
from ..i18n import _, in_brackets
from ..json_types import JsonObject
from ..sanitize import clean, one_line
from . import (
    FORMAT,
    FORMAT_VERSION,
    BadDocumentError,
    Parsed,
    Store,
    is_database,
    parse_document,
    parse_messages,
    readable,
)
from .formatting import FORMS


def format_of(path: Path) -> str | None:
    """The format of a file's extension, or None."""
    return FORMS.get(path.suffix.lower().removeprefix("."))


def export_conversations(
    store: Store, ids: Iterable[str], form: str, *, reasoning: bool
) -> Iterator[str]:
    """Yield the text of an export in pieces."""
    if form == "json":
        yield f'{{"format": "{FORMAT}", "version": {FORMAT_VERSION}, "conversations": [\n'
        for n, key in enumerate(ids):
            yield (",\n" if n else "") + json_text(store.dump(key))
        yield "\n]}\n"
    elif form == "jsonl":
        for key in ids:
            if messages := store.for_api(key):
                yield json_text({"messages": messages}) + "\n"
    elif form == "html":
        from .html_export import page

        yield from page(store, ids, reasoning=reasoning)
    else:
        for n, key in enumerate(ids):
            yield ("\n" if n else "") + markdown(store, key, reasoning=reasoning)


def markdown(store: Store, conversation: str, *, reasoning: bool) -> str:
    """The current path of a conversation, with a heading for each message."""
    record = store.conversations.get(conversation)
    parts = [f"# {one_line(record.title) or _('Untitled')}"]
    if record.system:
        parts += ["## " + _("System prompt"), clean(record.system).strip("\n")]
    names = {"user": _("Question"), "assistant": _("Answer")}
    path = store.messages.path(conversation)
    for message in store.messages.bodies(node.id for node in path):
        heading = names.get(message.role, message.role)
        if message.model:
            heading += in_brackets(one_line(message.model))
        parts.append(f"## {heading}")
        if reasoning and message.reasoning:
            thought = clean(message.reasoning).strip("\n")
            parts.append("\n".join(f"> {line}".rstrip() for line in thought.split("\n")))
        if message.content:
            parts.append(clean(message.content).strip("\n"))
        if message.error:
            parts.append("*" + one_line(message.error) + "*")
        elif message.state != "complete":
            parts.append("*" + _("(stopped here)") + "*")
    return "\n\n".join(parts) + "\n"


def write_export(pieces: Iterable[str], path: Path, *, overwrite: bool) -> None:
    """Write a file atomically, readable by its owner alone. Raises `UsageError` where it exists and
    `overwrite` is False, `EngineError` where it can't be written."""
    exists = _("{path} exists; use --force to replace it.").format(path=path)
    if not overwrite and os.path.lexists(path) and not path.is_dir():
        raise UsageError(exists)
    try:
        if path.is_dir():
            raise UsageError(_("{path} is a folder, not a file.").format(path=path))
        if overwrite and path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as file:  # a pipe or a device stays what it is
                file.writelines(pieces)
        else:
            # A link stays one: the file that it names is replaced.
            target = Path(os.path.realpath(path)) if overwrite else path
            with replacing(target, overwrite=overwrite) as out:
                out.writelines(piece.encode() for piece in pieces)
    except FileExistsError:
        raise UsageError(exists) from None
    except FileNotFoundError as e:
        raise UsageError(_("There is no folder {path}.").format(path=path.parent)) from e
    except OSError as e:
        raise EngineError(
            _("Can't write {path}: {why}.").format(path=path, why=_(e.strerror))
        ) from e


def read_export(name: str) -> Iterator[Parsed]:
    """Yield the conversations in an export (``-`` is standard input), in lines of messages, or in a
    database of the store, as far as it can be read.

    Raises `UsageError`, with file and line.
    """
    label = _("standard input") if name == "-" else name
    try:
        if name != "-" and is_database(Path(name)):
            yield from _stored(Path(name))
            return
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as e:
        raise UsageError(
            _("Can't read {file}: {why}.").format(file=label, why=_(e.strerror))
        ) from e
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise UsageError(
            _("{file}:{line}: this is not UTF-8 text.").format(file=label, line=line)
        ) from e
    whole = _whole(text)
    if whole is not None:
        yield from _documents(whole, label)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{label}:{number}"
            yield _checked(parse_messages, _json(line, where), where)


def _stored(path: Path) -> Iterator[Parsed]:
    conversations = [parsed for parsed, deleted in readable(path) if deleted is None]
    if not conversations:
        text = _("No qchat conversation can be read from the database {file}.")
        raise UsageError(text.format(file=path))
    yield from conversations


def _whole(text: str) -> JsonObject | None:
    """The export as one JSON value; None where the text is lines."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # Lines, or a broken export: its first line is then reported.
        return None
    return value if isinstance(value, dict) and "messages" not in value else None


def _documents(value: JsonObject, label: str) -> Iterator[Parsed]:
    documents = value.get("conversations")
    if value.get("format") != FORMAT or not isinstance(documents, list):
        raise UsageError(
            _(
                "{file} is neither a qchat export nor lines such as "
                '{{"messages": [{{"role": "user", "content": "…"}}]}}.'
            ).format(file=label)
        )
    if value.get("version") != FORMAT_VERSION:
        text = _("{file} was written by another version of qchat (format {n}).")
        raise UsageError(text.format(file=label, n=value.get("version")))
    for number, document in enumerate(documents, start=1):
        where = _("{file}, conversation {n}").format(file=label, n=number)
        yield _checked(parse_document, document, where)


def _json(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except RecursionError:
        raise UsageError(_("{where}: nested too deeply.").format(where=where)) from None
    except ValueError as e:
        text = _("{where}: not valid JSON: {why}.")
        raise UsageError(text.format(where=where, why=json_fault(e))) from e


def _checked(parse: Any, value: Any, where: str) -> Parsed:
    try:
        parsed: Parsed = parse(value)
    except BadDocumentError as e:
        text = _("{where}: {message}.")
        raise UsageError(text.format(where=where, message=e)) from e
    return parsed
