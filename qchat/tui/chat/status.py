"""What the status line shows of the conversation: server, model, context, figures, activity."""

from collections.abc import Sequence

from ...i18n import _
from ...sanitize import one_line
from ..actions.keymap import Keymap
from ..servers.monitor import ServerMonitor
from ..widgets.status_line import StatusPart
from .active_settings import CONTEXT_WARNING_SHARE, ActiveSettings
from .conversation import Conversation


def status_parts(
    conversation: Conversation,
    settings: ActiveSettings,
    monitor: ServerMonitor,
    keymap: Keymap,
    activity: str,
) -> Sequence[StatusPart]:
    """The parts of the status line; `activity` is something in progress, such as a server start."""
    endpoint, result = settings.current.endpoint, monitor.result
    sign = {None: "…", True: "●", False: "○"}[monitor.reachable]
    thinking = {None: "", True: _("thinking"), False: _("no thinking")}
    latency = ""
    if result is not None and result.seconds is not None:
        latency = _("{n:.0f} ms").format(n=result.seconds * 1000)
    model = one_line(settings.current.model or "")
    if not model and result is not None and len(result.models) == 1:
        model = one_line(result.models[0].name)
    switch, _origin = settings.current.value("thinking")
    first, *others = [*conversation.figures, "", ""][:2]
    stops = conversation.pending_answer is not None
    is_kept = not conversation.is_open or conversation.repository.store.is_kept
    return (
        StatusPart(f"{sign} {endpoint.name or _short_url(endpoint.base_url)}", 7),
        StatusPart(latency, 1),
        StatusPart(model, 8),
        StatusPart(thinking[switch], 5),
        _context_part(settings.used_tokens, settings.context_limit),
        StatusPart(first, 3),
        StatusPart(others[0], 2),
        StatusPart(activity or _first_step(settings, monitor, keymap), 9, warns=True),
        StatusPart(_("{key} stops").format(key=keymap.shown("interrupt")) if stops else "", 10),
        StatusPart("" if is_kept else _("not kept"), 9, warns=True),
    )


def _first_step(settings: ActiveSettings, monitor: ServerMonitor, keymap: Keymap) -> str:
    """What has to be done before a question can be sent."""
    result = monitor.result
    if result is not None and result.seconds is None:
        return _("{key} selects a server").format(key=keymap.shown("start"))
    if result is not None and settings.current.model is None and len(result.models) > 1:
        return _("{key} selects a model").format(key=keymap.shown("model"))
    return ""


def _short_url(url: str) -> str:
    return url.partition("://")[2].removesuffix("/v1")


def _context_part(used: int | None, limit: int | None) -> StatusPart:
    if used is None:
        return StatusPart("", 4)
    if limit is None:
        return StatusPart(_("{n:,} tokens").format(n=used), 4)
    text = _("{n:,}/{limit:,} ({share:.0%})").format(n=used, limit=limit, share=used / limit)
    near = used >= CONTEXT_WARNING_SHARE * limit
    return StatusPart(text, 9 if near else 4, warns=near)
