"""The actions on what is asked and with what: server, model, parameters, system prompt."""

from typing import Final

from ...i18n import _
from .action import MODEL, Action

MODELS: Final = (
    Action(
        "model",
        _("the model, and the server that has it"),
        MODEL,
        keys="f7",
        slash="model",
        argument="[NAME]",
    ),
    Action(
        "server",
        _("another server"),
        MODEL,
        slash="server",
        argument="[NAME or URL]",
    ),
    Action(
        "parameters",
        _("all parameters of this conversation"),
        MODEL,
        keys="f3",
        slash="params",
    ),
    Action(
        "set",
        _("one parameter, such as temperature 0.2; no value takes it back"),
        MODEL,
        slash="set",
        argument="NAME VALUE",
        palette=False,
    ),
    Action(
        "preset",
        _("values made for a purpose"),
        MODEL,
        slash="preset",
        argument="[NAME]",
    ),
    Action(
        "system",
        _("the system prompt; none takes it away"),
        MODEL,
        keys="f4",
        slash="system",
        argument="[NAME]",
    ),
    Action(
        "thinking",
        _("thinking: on, off, or auto, as the server likes"),
        MODEL,
        keys="ctrl+g",
        slash="think",
        argument="[on|off|auto]",
    ),
    Action(
        "start",
        _("start a server on this machine, or find another one"),
        MODEL,
        keys="f5",
        slash="start",
        argument="[MODEL]",
    ),
)
