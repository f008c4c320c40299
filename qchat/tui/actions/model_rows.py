"""Rows of the table of actions: server, model, parameters, system prompt."""

from typing import Final

from ...i18n import _
from .action import MODEL, Action

MODELS: Final = (
    Action(
        "model",
        _("choose the model and its server"),
        MODEL,
        keys="f7",
        slash="model",
        argument=_("[NAME]"),
    ),
    Action(
        "server",
        _("choose the server"),
        MODEL,
        slash="server",
        argument=_("[NAME or URL]"),
    ),
    Action(
        "parameters",
        _("show and change the parameters of this conversation"),
        MODEL,
        keys="f3",
        slash="params",
    ),
    Action(
        "set",
        _("set a parameter, such as temperature 0.2; without a value, reset it"),
        MODEL,
        slash="set",
        argument=_("NAME VALUE"),
        palette=False,
    ),
    Action(
        "preset",
        _("choose a preset of parameters"),
        MODEL,
        slash="preset",
        argument=_("[NAME]"),
    ),
    Action(
        "system",
        _("choose the system prompt; none removes it"),
        MODEL,
        keys="f4",
        slash="system",
        argument=_("[NAME]"),
    ),
    Action(
        "thinking",
        _("set thinking to on, off, or auto (server default)"),
        MODEL,
        keys="ctrl+g",
        slash="think",
        argument="[on|off|auto]",
    ),
    Action(
        "start",
        _("start a server on this machine, or choose another"),
        MODEL,
        keys="f5",
        slash="start",
        argument=_("[MODEL]"),
    ),
)
