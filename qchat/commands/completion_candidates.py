"""What a shell offers for the word at the cursor: names that qchat knows, else files.

`add` is called for a command while it is completed. Names are read from files on this machine; no
server is asked, so that a TAB never waits for one. A file or folder that can't be read offers
nothing: a broken setting must not break the person's shell.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator

import click
from click.shell_completion import CompletionItem

from ..errors import QchatError

Candidates = Callable[[click.Context], Iterable[CompletionItem]]

MAX_CONVERSATIONS = 50

_FILES = re.compile(r"FILE|INPUT|SOURCE|QUESTIONS|\.(json|jsonl|csv|html|yaml|toml|parquet)\b")
_FOLDERS = re.compile(r"\bDIR|FOLDER")


def add(command: click.Command) -> None:
    """Give each parameter of the command its candidates, where its type has none of its own."""
    for param in command.params:
        candidates = _candidates_of(command, param)
        fallback = _file_type(command, param)
        if candidates or fallback:
            # In the instance: every command declares its parameters in click's own way.
            vars(param)["shell_complete"] = _completer(param.shell_complete, candidates, fallback)
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            add(sub)


def _completer(
    own: Callable[[click.Context, str], list[CompletionItem]],
    candidates: Candidates | None,
    fallback: str | None,
) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = own(ctx, incomplete)
        if not items and candidates is not None:
            items = [
                item for item in _readable(candidates, ctx) if item.value.startswith(incomplete)
            ]
        if not items and fallback is not None:
            items = [CompletionItem(incomplete, type=fallback)]
        return items

    return complete


def _readable(candidates: Candidates, ctx: click.Context) -> list[CompletionItem]:
    try:
        return list(candidates(ctx))
    except (QchatError, OSError, ValueError):
        return []


def _candidates_of(command: click.Command, param: click.Parameter) -> Candidates | None:
    metavar = param.metavar or ""
    if "--model" in param.opts or (command.name == "serve" and param.name == "model"):
        return _models
    if "--explain" in param.opts:
        return _recipes
    if metavar.strip("[].") == "ID":
        return _conversations
    if metavar == "VAR":
        return _key_variables
    if metavar == "QUALITY":
        return lambda _ctx: map(CompletionItem, ("cut", "empty", "looped", "invalid"))
    if "--encoding" in param.opts:
        return lambda _ctx: map(CompletionItem, ("utf-8", "gb18030", "big5", "shift_jis"))
    return None


def _file_type(command: click.Command, param: click.Parameter) -> str | None:
    """What a shell completes by itself: ``file``, ``dir`` or nothing."""
    metavar = param.metavar or ""
    if _FOLDERS.search(metavar):
        return "dir"
    if _FILES.search(metavar):
        return "file"
    is_model = "--model" in param.opts or param.name == "model"
    if is_model and command.name in ("serve", "batch", "doctor"):
        return "dir"  # the folder of a model
    return "file" if "--explain" in param.opts else None


def _models(_ctx: click.Context) -> Iterator[CompletionItem]:
    """The models of the settings, the demo model, the recipes' and the downloaded ones."""
    from ..settings import load

    settings = load()
    names = [settings.model, *(server.model for server in settings.servers.values()), "demo"]
    seen: set[str] = set()
    for item in (*map(CompletionItem, filter(None, names)), *_recipes(_ctx), *_downloaded()):
        if item.value not in seen:
            seen.add(item.value)
            yield item


def _recipes(_ctx: click.Context) -> Iterator[CompletionItem]:
    from ..engine.recipes.catalog import load_recipes

    yield from (CompletionItem(recipe.name) for recipe in load_recipes())


def _downloaded() -> Iterator[CompletionItem]:
    """The ids of the models in the hub's cache: a folder ``models--ORG--NAME`` each."""
    from ..engine.models.hub_cache import cache

    for folder in sorted(cache(os.environ).glob("models--*")):
        yield CompletionItem(folder.name.removeprefix("models--").replace("--", "/"))


def _conversations(ctx: click.Context) -> Iterator[CompletionItem]:
    """The ids of the conversations that the command can be used with, with their titles."""
    from ..sanitize import one_line
    from ..settings import load
    from ..store import read_conversations

    deleted = ctx.info_name == "restore"
    for one in read_conversations(load().paths.data, MAX_CONVERSATIONS, deleted=deleted):
        yield CompletionItem(one.id, help=one_line(one.title) or None)


def _key_variables(_ctx: click.Context) -> Iterator[CompletionItem]:
    """The names of environment variables that look like keys; never a value."""
    names = sorted(name for name in os.environ if re.search(r"(KEY|TOKEN)$", name))
    yield from map(CompletionItem, names)
