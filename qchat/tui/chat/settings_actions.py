"""What a person changes of what the next question is asked with; a room of actions."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ... import parameters
from ...api import endpoint as wire
from ...api.endpoint import Endpoint
from ...errors import UsageError
from ...i18n import _
from ...sampling import PRESETS
from ...sanitize import clean, one_line
from ...system_prompts import Prompts
from ..request_settings import MissingServer, RequestSettings, endpoint_named

if TYPE_CHECKING:
    from ..app import ChatApp
    from ..launch import LaunchOptions
    from ..screens.model_picker import ModelChoice
    from ..screens.prompt_picker import PromptChoice

_NONE = "none"
_SET: Final = re.compile(r"([^\s=]+)\s*=?\s*(.*)", re.DOTALL)  # NAME VALUE, NAME=VALUE


class SettingsActions:
    """Server, model, parameters, thinking, system prompt. Methods may raise `UsageError`."""

    def __init__(self, app: "ChatApp", start: "LaunchOptions") -> None:
        self._app = app
        self._start = start

    @property
    def _using(self) -> RequestSettings:
        return self._app.current.using

    def _use(self, using: RequestSettings, said: str = "") -> None:
        self._app.current.use(using)
        if said:
            self._app.say(said)

    # -- server and model ------------------------------------------------------------------

    async def model(self, name: str) -> None:
        """The model of this name, or one to pick."""
        if not name:
            self._pick_server()
            return
        if isinstance(self._using.endpoint, MissingServer):
            raise UsageError(self._using.endpoint.trouble)
        last = self._app.probe.last
        offered = [one.name for one in last.models] if last is not None else []
        if offered and name not in offered:
            text = _("The server has no model {name!r}; it has {names}.")
            names = ", ".join(one_line(one) for one in offered[:20])
            raise UsageError(text.format(name=name, names=names))
        self._app.current.prefer(self._using.endpoint, name)
        self._app.say(_("Model: {name}").format(name=one_line(name)))

    async def server(self, name: str) -> None:
        """The server of this name or address, or one to pick."""
        if not name:
            self._pick_server()
            return
        settings = self._start.settings
        if "://" in name and settings is not None:
            wire.normalise(name, "/server")
            found = wire.resolve(settings, base_url=name)
            assert found is not None
            self.connect(found, None)
        else:
            endpoint = endpoint_named(self._using.defaults, name)
            self.connect(endpoint, endpoint.model)

    def _pick_server(self) -> None:
        from ..screens.model_picker import ModelPicker

        settings, endpoint = self._start.settings, self._using.endpoint
        self._app.push_screen(ModelPicker(settings, endpoint), self._apply_model)

    def _apply_model(self, choice: "ModelChoice | None") -> None:
        if choice is not None:
            self.connect(choice.endpoint, choice.model)

    def connect(self, endpoint: Endpoint, model: str | None) -> None:
        """Ask this server from now on, here and in new conversations; it is looked at at once."""
        self._app.current.prefer(endpoint, model)
        self._app.probe.wake()

    # -- parameters ------------------------------------------------------------------------

    async def parameters(self) -> None:
        """All of them on a screen."""
        from ..screens.parameters import ParametersScreen

        self._app.push_screen(ParametersScreen(self._using, self._changed))

    def _changed(self, using: RequestSettings) -> None:
        # The server may have become another one while the screen was open.
        self._use(replace(self._using, own=using.own, plain=using.plain))

    async def set(self, said: str) -> None:
        """One of them: ``NAME VALUE``; no value, or ``default``, takes it back."""
        found = _SET.fullmatch(said.strip())
        if found is None:
            raise UsageError(_("Write a name and a value, such as: /set temperature 0.2"))
        name, value = found[1].lower(), found[2]
        using = self._using.with_text(name, value)
        now = parameters.shown(using.value(name)[0]) or _("as the server likes")
        self._use(using, _("{name}: {value}").format(name=name, value=one_line(now)))

    async def preset(self, name: str) -> None:
        """The preset of this name, or one to pick."""
        if name:
            using = self._using.with_text("preset", name)
            self._use(using, _("Preset: {name}").format(name=using.preset or _("none")))
            return
        from ..screens.pick_list import PickItem, PickList

        now = self._using.preset or _NONE
        items = [
            PickItem(name, ("● " if name == now else "  ") + name, _preset_values(name))
            for name in (*PRESETS, _NONE)
        ]
        note = _("Enter: use · Esc: close")
        pick = PickList(_("Preset"), items, placeholder=_("Filter"), note=note)
        self._app.push_screen(pick, self._preset_picked)

    def _preset_picked(self, name: str | None) -> None:
        if name is not None:
            self._use(self._using.with_text("preset", name))

    async def thinking(self, said: str) -> None:
        """On, off or auto (as the server likes); without a word the next of these."""
        if not said:
            following = {None: "on", True: "off", False: "auto"}
            said = following[self._using.own.thinking]
        self._use(self._using.with_text("thinking", said))

    # -- the system prompt -----------------------------------------------------------------

    @property
    def _prompts(self) -> Prompts:
        if self._start.settings is None:
            raise UsageError(_("There is no folder for system prompts here."))
        return Prompts(self._start.settings.paths)

    async def system(self, name: str) -> None:
        """The system prompt of this name, ``none``, or one to pick."""
        if name == _NONE:
            self._use(replace(self._using, system=None), _("No system prompt."))
        elif name:
            self._use_prompt(name)
        else:
            from ..screens.prompt_picker import PromptPicker

            picker = PromptPicker(self._prompts, self._using.system)
            self._app.push_screen(picker, self._prompt_picked)

    def _use_prompt(self, name: str) -> None:
        text = clean(self._prompts.read(name))
        self._use(replace(self._using, system=text), _("System prompt: {name}").format(name=name))

    def _prompt_picked(self, choice: "PromptChoice | None") -> None:
        if choice is not None:
            self._app.spawn(self._apply_prompt(choice))

    async def _apply_prompt(self, choice: "PromptChoice") -> None:
        if choice.name is None:
            await self.system(_NONE)
        elif choice.edit:
            await self._edit(choice.name)
        else:
            self._use_prompt(choice.name)

    async def _edit(self, name: str) -> None:
        """Write it in the person's own editor, keep it, use it."""
        from ..composer import external_editor as editor

        prompts = self._prompts
        text = (await editor.edit_text(self._app, prompts.draft(name))).strip()
        if not text:
            self._app.say(_("Nothing was written; nothing is changed."))
            return
        try:
            prompts.write(name, text)
            self._use_prompt(name)
        except UsageError as e:
            said = _("{why} This conversation uses what was written all the same.")
            self._app.say(said.format(why=e), error=True, seconds=10)
            self._use(replace(self._using, system=clean(text)))


def _preset_values(name: str) -> str:
    if name == _NONE:
        return _("what the server likes")
    found = PRESETS[name]
    names = (one for one in parameters.NAMES if getattr(found, one) is not None)
    return ", ".join(f"{one} {parameters.shown(getattr(found, one))}" for one in names)
