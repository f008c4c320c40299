"""What each action does: a handler for every row of the table of actions."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from .parts import ChatParts

Run = Callable[[str], Coroutine[Any, Any, None] | None]


class ActionHandler(NamedTuple):
    """`run` gets the argument, '' without one; `needs_store`: not before the store is open."""

    run: Run
    needs_store: bool = False


def action_handlers(parts: ChatParts) -> Mapping[str, ActionHandler]:
    """The handlers by the names of the actions, but for those of the window itself."""
    with_store = {**_conversation_runs(parts), **_message_runs(parts), **_settings_runs(parts)}
    return {
        **{name: ActionHandler(run, needs_store=True) for name, run in with_store.items()},
        **{name: ActionHandler(run) for name, run in _window_runs(parts).items()},
    }


def _conversation_runs(parts: ChatParts) -> dict[str, Run]:
    return {
        "new": lambda _: parts.conversation_actions.new(),
        "list": lambda _: parts.conversation_actions.toggle_list(),
        "search": lambda query: parts.conversation_actions.search(query),
        "rename": lambda title: parts.conversation_actions.rename(title),
        "pin": lambda _: parts.conversation_actions.pin(),
        "archive": lambda _: parts.conversation_actions.archive(),
        "delete": lambda _: parts.conversation_actions.confirm_delete(),
        "archived": lambda _: parts.conversation_actions.show_archived(),
        "restore": lambda _: parts.conversation_actions.restore(),
        "tree": lambda _: parts.conversation_actions.show_tree(),
        "batch": lambda file: parts.batch_actions.run(file),
        "picture": lambda _: parts.conversation_actions.paste_picture(),
        "export": lambda arguments: parts.conversation_actions.export(arguments),
        "import": lambda name: parts.conversation_actions.import_(name),
        "editor": lambda _: parts.conversation_actions.open_editor(),
        "list_rename": lambda _: parts.conversation_actions.edit_title(),
        "list_pin": lambda _: parts.conversation_actions.pin(),
        "list_archive": lambda _: parts.conversation_actions.archive(),
        "list_delete": lambda _: parts.conversation_actions.delete(),
        "list_restore": lambda _: parts.conversation_actions.restore(),
        "list_archived": lambda _: parts.conversation_actions.toggle_archived(),
    }


def _message_runs(parts: ChatParts) -> dict[str, Run]:
    return {
        "stop": lambda _: parts.message_actions.stop(),
        "retry": lambda _: parts.message_actions.retry(),
        "continue": lambda _: parts.message_actions.continue_answer(),
        "edit": lambda _: parts.message_actions.edit("user"),
        "amend": lambda _: parts.message_actions.edit("assistant"),
        "version_before": lambda _: parts.message_actions.version(-1),
        "version_after": lambda _: parts.message_actions.version(1),
        "drop": lambda _: parts.message_actions.drop(),
        "undo": lambda _: parts.message_actions.undo(),
        "fork": lambda _: parts.message_actions.fork(),
        "cancel": lambda _: parts.message_actions.cancel(),
        "unqueue": lambda _: parts.conversation.drafts.unqueue(),
        "info": lambda _: parts.overlays.show_info(),
    }


def _settings_runs(parts: ChatParts) -> dict[str, Run]:
    return {
        "model": lambda name: parts.settings_actions.model(name),
        "server": lambda name: parts.settings_actions.server(name),
        "parameters": lambda _: parts.settings_actions.parameters(),
        "set": lambda assignment: parts.settings_actions.set(assignment),
        "preset": lambda name: parts.settings_actions.preset(name),
        "system": lambda name: parts.settings_actions.system(name),
        "thinking": lambda switch: parts.settings_actions.thinking(switch),
    }


def _window_runs(parts: ChatParts) -> dict[str, Run]:
    transcript = parts.transcript
    return {
        "start": lambda model: parts.server_actions.start(model),
        "thought": lambda _: transcript.action_thought(),
        "page_up": lambda _: transcript.action_page(-1),
        "page_down": lambda _: transcript.action_page(1),
        "message_before": lambda _: transcript.action_message(-1),
        "message_after": lambda _: transcript.action_message(1),
        "code_before": lambda _: transcript.action_code(-1),
        "code_after": lambda _: transcript.action_code(1),
        "bottom": lambda _: transcript.action_end(),
        "copy_code": lambda _: transcript.action_copy_code(),
        "copy_message": lambda _: transcript.action_copy_message(),
        "unfold": lambda _: parts.composer.unfold(),
        "undo_text": lambda _: parts.composer.undo(),
        "redo_text": lambda _: parts.composer.redo(),
        "interrupt": lambda _: parts.quit_handler.interrupt(),
        "leave": lambda _: parts.quit_handler.quit(),
    }
