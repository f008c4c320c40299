"""Actions on the settings of the next request."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ... import parameters
from ...api import endpoint as endpoints
from ...api.endpoint import Endpoint
from ...errors import UsageError
from ...i18n import _
from ...prompt_variables import automatic_values, filled, variables
from ...sampling import PRESETS
from ...sanitize import clean, one_line
from ...settings import Settings
from ...system_prompts import Prompts
from ..request_settings import RequestSettings, endpoint_named
from ..servers.monitor import ServerMonitor
from ..window import Window
from .active_settings import ActiveSettings

if TYPE_CHECKING:
    from ..screens.model_picker import ModelChoice
    from ..screens.prompt_picker import PromptChoice

_NONE = "none"
_SET: Final = re.compile(r"([^\s=]+)\s*=?\s*(.*)", re.DOTALL)  # NAME VALUE, NAME=VALUE


class SettingsActions:
    """Server, model, parameters, thinking, system prompt. Methods may raise `UsageError`."""

    def __init__(
        self,
        window: Window,
        active: ActiveSettings,
        monitor: ServerMonitor,
        settings: Settings | None,
        edit_text: Callable[[str], Awaitable[str]],
    ) -> None:
        """`edit_text` returns a text as edited in the external editor."""
        self._window = window
        self._active = active
        self._monitor = monitor
        self._settings = settings
        self._edit_text = edit_text

    @property
    def _current(self) -> RequestSettings:
        return self._active.current

    def _apply(self, settings: RequestSettings, message: str = "") -> None:
        self._active.apply(settings)
        if message:
            self._window.say(message)

    # -- server and model ------------------------------------------------------------------

    async def model(self, name: str) -> None:
        """Use the model of this name; without one, open the model picker."""
        if not name:
            self._pick_server()
            return
        if self._current.endpoint.unusable:
            raise UsageError(self._current.endpoint.unusable)
        result = self._monitor.result
        offered = [one.name for one in result.models] if result is not None else []
        if offered and name not in offered:
            text = _("The server has no model {name!r}; it has {names}.")
            names = ", ".join(one_line(one) for one in offered[:20])
            raise UsageError(text.format(name=name, names=names))
        self._active.set_server(self._current.endpoint, name)
        self._window.say(_("Model: {name}").format(name=one_line(name)))

    async def server(self, name: str) -> None:
        """Use the server of this name or address; without one, open the model picker."""
        if not name:
            self._pick_server()
            return
        settings = self._settings
        if "://" in name and settings is not None:
            endpoints.normalise(name, "/server")
            resolved = endpoints.resolve(settings, base_url=name)
            assert resolved is not None
            self.connect(resolved, None)
        else:
            endpoint = endpoint_named(self._current.defaults, name)
            self.connect(endpoint, endpoint.model)

    def _pick_server(self) -> None:
        from ..screens.model_picker import ModelPicker

        settings, endpoint = self._settings, self._current.endpoint
        self._window.push_screen(ModelPicker(settings, endpoint), self._apply_model)

    def _apply_model(self, choice: "ModelChoice | None") -> None:
        if choice is not None:
            self.connect(choice.endpoint, choice.model)

    def connect(self, endpoint: Endpoint, model: str | None) -> None:
        """Use this server here and in new conversations, and probe it now."""
        self._active.set_server(endpoint, model)
        self._monitor.wake()

    # -- parameters ------------------------------------------------------------------------

    async def parameters(self) -> None:
        """Open the parameters screen."""
        from ..screens.parameters import ParametersScreen

        self._window.push_screen(ParametersScreen(self._current, self._apply_parameters))

    def _apply_parameters(self, settings: RequestSettings) -> None:
        # The server may have changed while the screen was open.
        self._apply(self._current._replace(own=settings.own, plain=settings.plain))

    async def set(self, assignment: str) -> None:
        """Set one: ``NAME VALUE``; no value, or ``default``, resets it."""
        match = _SET.fullmatch(assignment.strip())
        if match is None:
            raise UsageError(_("Write a name and a value, such as: /set temperature 0.2"))
        name, value = match[1].lower(), match[2]
        settings = self._current.with_text(name, value)
        text = parameters.shown(settings.value(name)[0]) or _("server default")
        self._apply(settings, _("{name}: {value}").format(name=name, value=one_line(text)))

    async def preset(self, name: str) -> None:
        """Use the preset of this name; without one, open the list."""
        if name:
            settings = self._current.with_text("preset", name)
            self._apply(settings, _("Preset: {name}").format(name=settings.preset or _("none")))
            return
        from ..screens.pick_list import PickItem, PickList

        current = self._current.preset or _NONE
        items = [
            PickItem(name, ("● " if name == current else "  ") + name, _preset_values(name))
            for name in (*PRESETS, _NONE)
        ]
        note = _("Enter: use · Esc: close")
        pick = PickList(_("Preset"), items, placeholder=_("Filter"), note=note)
        self._window.push_screen(pick, self._apply_preset)

    def _apply_preset(self, name: str | None) -> None:
        if name is not None:
            self._apply(self._current.with_text("preset", name))

    async def thinking(self, switch: str) -> None:
        """Set thinking to on, off or auto (the server's default); without a value, to the next."""
        if not switch:
            following = {None: "on", True: "off", False: "auto"}
            switch = following[self._current.own.thinking]
        self._apply(self._current.with_text("thinking", switch))

    # -- the system prompt -----------------------------------------------------------------

    @property
    def _prompts(self) -> Prompts:
        if self._settings is None:
            raise UsageError(_("There is no folder for system prompts here."))
        return Prompts(self._settings.paths)

    async def system(self, name: str) -> None:
        """Use the system prompt of this name, or ``none``; without a name, open the picker."""
        if name == _NONE:
            self._apply(self._current._replace(system=None), _("No system prompt."))
        elif name:
            self.use_prompt(name)
        else:
            from ..screens.prompt_picker import PromptPicker

            picker = PromptPicker(self._prompts, self._current.system)
            self._window.push_screen(picker, self._prompt_selected)

    def prompt_names(self) -> Sequence[str]:
        """The names of the system prompts of the folder."""
        return self._prompts.names() if self._settings is not None else ()

    def use_prompt(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        """Use the system prompt of this name from now on, and call `then`.

        Where it has variables, their values are asked for before. Raises `UsageError`.
        """
        text = clean(self._prompts.read(name))

        def use(text: str) -> None:
            self._apply_text(name, text)
            then()

        self._fill(name, text, use)

    def begin(self, send: Callable[[], None], cancel: Callable[[], None]) -> None:
        """Fill in the configured prompt of a conversation that begins, and call `send`.

        Where values are asked for and not given, `cancel` is called instead.
        """
        prompt = self._active.configured_prompt
        if not prompt or self._current.system != prompt:
            send()
            return

        def use(text: str) -> None:
            self._apply(self._current._replace(system=text))
            send()

        name = self._settings.tui.system_prompt if self._settings is not None else ""
        self._fill(name, prompt, use, cancel)

    def _fill(
        self,
        name: str,
        text: str,
        use: Callable[[str], None],
        cancel: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `use` with the text of the prompt `name` once its variables have values."""
        values = automatic_values(datetime.now(), self._monitor.model_name(self._current.model))
        names = [name for name in variables(text) if name not in values]
        if not names:
            use(filled(text, values))
            return
        from ..screens.prompt_variables import PromptVariables

        def end(answers: dict[str, str] | None) -> None:
            if answers is None:
                cancel()
            else:
                use(filled(text, {**values, **answers}))

        self._window.push_screen(PromptVariables(name, names), end)

    def _apply_text(self, name: str, text: str) -> None:
        message = _("System prompt: {name}").format(name=name)
        self._apply(self._current._replace(system=text), message)

    def _prompt_selected(self, choice: "PromptChoice | None") -> None:
        if choice is not None:
            self._window.spawn(self._apply_prompt(choice))

    async def _apply_prompt(self, choice: "PromptChoice") -> None:
        if choice.name is None:
            await self.system(_NONE)
        elif choice.edit:
            await self._edit(choice.name)
        else:
            self.use_prompt(choice.name)

    async def _edit(self, name: str) -> None:
        """Edit a system prompt in the external editor, save it, and use it."""
        prompts = self._prompts
        text = (await self._edit_text(prompts.draft(name))).strip()
        if not text:
            self._window.say(_("The text is empty; nothing is changed."))
            return
        try:
            prompts.write(name, text)
            self.use_prompt(name)
        except UsageError as e:
            message = _("{why} This conversation uses the text nevertheless.")
            self._window.say(message.format(why=e), error=True, seconds=10)
            self._apply(self._current._replace(system=clean(text)))


def _preset_values(name: str) -> str:
    if name == _NONE:
        return _("server defaults")
    preset = PRESETS[name]
    names = (one for one in parameters.NAMES if getattr(preset, one) is not None)
    return ", ".join(f"{one} {parameters.shown(getattr(preset, one))}" for one in names)
