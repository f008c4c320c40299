"""The command reference: a Markdown page for each command, from what `--help` is made of.

``python -m docs.site.command_reference`` prints the pages as JSON, names to texts, in the language
of the process (`QCHAT_LANG`): qchat takes its language when it is imported.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from qchat import cli
from qchat.i18n import _


@dataclass(frozen=True)
class CommandPath:
    """A command with the words that call it, as `qchat chats export`."""

    name: str
    context: click.Context
    command: click.Command


def commands() -> Iterator[CommandPath]:
    """Yield every command that is not hidden, each group before its members."""
    context = click.Context(cli.main, info_name="qchat", **cli.main.context_settings)
    yield from _walk(CommandPath("qchat", context, cli.main))


def _walk(path: CommandPath) -> Iterator[CommandPath]:
    yield path
    if not isinstance(path.command, click.Group):
        return
    for name in path.command.list_commands(path.context):
        command = path.command.get_command(path.context, name)
        if command is not None and not command.hidden:
            context = click.Context(command, parent=path.context, info_name=name)
            yield from _walk(CommandPath(f"{path.name} {name}", context, command))


def pages() -> dict[str, str]:
    """Return the pages: `index`, and one named like each command, with its subcommands."""
    index = [f"# {_('Commands')}", "", f"| {_('Commands')} | |", "|---|---|"]
    texts: dict[str, str] = {}
    for path in commands():
        words = path.name.split()[1:]
        if not words:
            body = _body(path)
            continue
        page, heading = words[0], "#" * len(words)
        texts[page] = texts.get(page, "") + f"{heading} {path.name}\n\n{_body(path)}\n"
        if len(words) == 1:
            line = cli.COMMANDS[page][1]
            index.append(f"| [`{path.name}`]({page}.md) | {_cell(_(line))} |")
    return {"index": "\n".join(index) + f"\n\n{body}", **texts}


def _body(path: CommandPath) -> str:
    parts = [_fence(" ".join([path.name, *path.command.collect_usage_pieces(path.context)]))]
    parts += _prose(path.command.help)
    for heading, rows in _option_groups(path).items():
        lines = [f"| `{names}` | {_cell(text)} |" for names, text in rows]
        parts.append("\n".join([f"| {heading} | |", "|---|---|", *lines]))
    parts += _prose(path.command.epilog)
    return "\n\n".join(parts) + "\n"


def _option_groups(path: CommandPath) -> dict[str, list[tuple[str, str]]]:
    """Return the options' help records by the headings that `--help` shows them under."""
    records = {
        parameter.name or "": record
        for parameter in path.command.get_params(path.context)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(path.context)) is not None
    }
    groups: Mapping[str, object] = getattr(path.command, "groups", {})
    sections = {
        heading: [records.pop(name) for name in names if name in records]
        for heading, names in groups.items()
        if isinstance(names, list | tuple)
    }
    sections[_("Options")] = [*sections.get(_("Options"), []), *records.values()]
    return {heading: rows for heading, rows in sections.items() if rows}


def _prose(text: str | None) -> list[str]:
    r"""Return the paragraphs of a help text; what click leaves alone (\b) becomes a code block."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return [
        _fence(inspect.cleandoc(paragraph.removeprefix("\b")))
        if paragraph.startswith("\b")
        else _escape(" ".join(paragraph.split()))
        for paragraph in paragraphs
        if paragraph.strip()
    ]


def _fence(text: str) -> str:
    return f"```text\n{text}\n```"


def _cell(text: str) -> str:
    return _escape(" ".join(text.split())).replace("|", "\\|")


def _escape(text: str) -> str:
    """Escape what Markdown would read as markup or HTML."""
    for character in "\\`*_[]<>{}":
        text = text.replace(character, "\\" + character)
    return text


if __name__ == "__main__":
    json.dump(pages(), sys.stdout, ensure_ascii=True)
