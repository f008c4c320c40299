"""The command palette: all actions, and all conversations by their titles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input

from ...i18n import _
from ...store.formatting import title
from ..composer.line_input import drop_key
from ..whole_characters import keep_whole
from .action import Action
from .keymap import Keymap, usage
from .table import ACTIONS

if TYPE_CHECKING:
    from ...store import StoredConversation

_MAX_HITS = 50


class ConversationReader(Protocol):
    """Reads the conversations that are not archived."""

    async def __call__(self) -> "Sequence[StoredConversation]": ...


@dataclass(frozen=True, slots=True)
class PaletteCommands:
    """What the palette offers: `perform` runs an action, `show` opens a conversation."""

    keymap: Keymap
    perform: Callable[[Action], None]
    conversations: ConversationReader
    show: Callable[[str], None]


class ActionProvider(Provider):
    """The actions that make sense without a key."""

    commands: PaletteCommands

    async def discover(self) -> Hits:
        """All of them."""
        for action in _palette_actions():
            text = self._text(action)
            yield DiscoveryHit(Content(text), partial(self.commands.perform, action), text)

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for action in _palette_actions():
            text = self._text(action)
            if (score := matcher.match(text)) > 0:
                run = partial(self.commands.perform, action)
                yield Hit(score, matcher.highlight(text), run, text=text)

    def _text(self, action: Action) -> str:
        shortcuts = [self.commands.keymap.shown(action.name)]
        if action.slash and f"/{action.slash}" not in shortcuts:
            shortcuts.append(usage(action))
        return action.about + "".join(f"  {shortcut}" for shortcut in shortcuts if shortcut)


class ConversationProvider(Provider):
    """The conversations that are not archived."""

    commands: PaletteCommands

    async def startup(self) -> None:
        """Read them once."""
        self._conversations = await self.commands.conversations()

    async def search(self, query: str) -> Hits:
        """Those whose title contains the letters of the query, in their order."""
        matcher = self.matcher(query)
        # The matcher is slow: thousands of titles are filtered by their letters first.
        letters = query.casefold()
        candidates = [c for c in self._conversations if _has_letters(c.title.casefold(), letters)]
        scored = [(matcher.match(title(c)), c) for c in candidates[: 4 * _MAX_HITS]]
        scored.sort(key=lambda pair: -pair[0])
        for score, conversation in scored[:_MAX_HITS]:
            if score > 0:
                name = title(conversation)
                run = partial(self.commands.show, conversation.id)
                yield Hit(score, matcher.highlight(name), run, text=name, help=_("conversation"))


class _Palette(CommandPalette):
    """Textual's palette, without the key in its field that is screen's prefix."""

    def on_mount(self) -> None:
        """Drop the key."""
        for field in self.query(Input):
            drop_key(field, "ctrl+a")


def open_palette(commands: PaletteCommands) -> CommandPalette:
    """A palette to be pushed."""
    # Textual makes the providers itself and passes them nothing: each palette has its own classes.
    classes = (ActionProvider, ConversationProvider)
    palette = _Palette(
        providers=[type(base.__name__, (base,), {"commands": commands}) for base in classes],
        placeholder=_("Search actions and conversations"),
    )
    keep_whole(palette)
    return palette


def _has_letters(text: str, letters: str) -> bool:
    """Whether the text contains the letters in this order."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _palette_actions() -> list[Action]:
    return [action for action in ACTIONS.values() if action.palette]
