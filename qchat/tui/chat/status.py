"""What the lines at the edges show of the conversation: server, model, context, keys."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

from ...i18n import _
from ...sanitize import one_line
from ..actions.keymap import Keymap
from ..servers.monitor import ServerMonitor
from ..widgets.status_line import KeyHint, StatusPart
from .active_settings import CONTEXT_WARNING_SHARE, ActiveSettings
from .conversation import Conversation

_SLOW_SECONDS: Final = 0.2
"""The latency from which it is shown: a faster server is as good as one on this machine."""


class Focus(Enum):
    """Where the keys go."""

    COMPOSER = "composer"
    TRANSCRIPT = "transcript"
    WELCOME = "welcome"
    LIST = "list"


def title_parts(
    conversation: Conversation, settings: ActiveSettings, monitor: ServerMonitor
) -> Sequence[StatusPart]:
    """The parts of the title bar: the server that answers, its model, thinking."""
    endpoint, result = settings.current.endpoint, monitor.result
    sign = {None: "…", True: "●", False: "○"}[monitor.reachable]
    thinking = {None: "", True: _("thinking"), False: _("no thinking")}
    latency = ""
    if result is not None and result.seconds is not None and result.seconds >= _SLOW_SECONDS:
        latency = _("{n:.0f} ms").format(n=result.seconds * 1000)
    model = one_line(settings.current.model or "")
    if not model and result is not None and len(result.models) == 1:
        model = one_line(result.models[0].name)
    switch, _origin = settings.current.value("thinking")
    kept = not conversation.is_open or conversation.repository.store.is_kept
    return (
        StatusPart("" if kept else _("not kept"), 9, warns=True),
        StatusPart(f"{sign} {endpoint.name or short_url(endpoint.base_url)}", 7),
        StatusPart(latency, 1),
        StatusPart(model, 8),
        StatusPart(thinking[switch], 5),
    )


def status_parts(
    settings: ActiveSettings, monitor: ServerMonitor, keymap: Keymap, activity: str
) -> Sequence[StatusPart]:
    """The parts of the status line; `activity` is something in progress, such as a server start."""
    return (
        StatusPart(activity or _first_step(settings, monitor, keymap), 9, warns=True),
        _context_part(settings.used_tokens, settings.context_limit),
        StatusPart(_batches(monitor), 6),
    )


def _batches(monitor: ServerMonitor) -> str:
    """How far the batches beside are."""
    if not monitor.batches:
        return ""
    done, total = (sum(getattr(b, name) for b in monitor.batches) for name in ("done", "total"))
    return _("batch {done:,}/{total:,}").format(done=done, total=total)


def key_hints(
    conversation: Conversation, keymap: Keymap, focus: Focus, *, enter_sends: bool, editing: bool
) -> Iterator[KeyHint]:
    """The keys that matter now, the most important first."""
    if conversation.pending_answer is not None:
        yield KeyHint(keymap.shown("interrupt"), _("stop"))
    if focus is Focus.LIST:
        yield KeyHint(_("Enter"), _("open"))
        yield KeyHint(_("Esc"), _("back"))
    elif focus is Focus.TRANSCRIPT:
        yield KeyHint("↑ ↓", _("scroll"))
        yield KeyHint("N P", _("messages"))
        yield KeyHint("C", _("copy code"))
        yield KeyHint("Y", _("copy answer"))
        yield KeyHint("T", _("thinking"))
    elif focus is Focus.WELCOME:
        yield KeyHint("↑ ↓", _("select"))
        yield KeyHint(_("Enter"), _("use"))
        yield KeyHint(_("Esc"), _("write"))
    else:
        yield KeyHint(_("Enter") if enter_sends else "Ctrl+J", _("send"))
        if editing:
            yield KeyHint(_("Esc"), _("cancel"))
        yield KeyHint("Ctrl+J" if enter_sends else _("Enter"), _("new line"))
    for name, label in (("palette", _("commands")), ("help", _("help"))):
        if key := keymap.shown(name):
            yield KeyHint(key, label)


def _first_step(settings: ActiveSettings, monitor: ServerMonitor, keymap: Keymap) -> str:
    """What has to be done before a question can be sent."""
    result = monitor.result
    if result is not None and result.seconds is None:
        return _("{key} selects a server").format(key=keymap.shown("start"))
    if result is not None and settings.current.model is None and len(result.models) > 1:
        return _("{key} selects a model").format(key=keymap.shown("model"))
    return ""


def short_url(url: str) -> str:
    """An address without its scheme and the usual end."""
    return url.partition("://")[2].removesuffix("/v1")


def _context_part(used: int | None, limit: int | None) -> StatusPart:
    if used is None:
        return StatusPart("", 4)
    if limit is None:
        return StatusPart(_("{n:,} tokens").format(n=used), 4)
    text = _("{n:,}/{limit:,} ({share:.0%})").format(n=used, limit=limit, share=used / limit)
    near = used >= CONTEXT_WARNING_SHARE * limit
    return StatusPart(text, 9 if near else 4, warns=near)
