"""The command palette: all actions, and all conversations by their titles."""

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from ...i18n import _
from ...store import StoreError
from ...store.formatting import title
from .action import Action
from .keymap import usage
from .table import ACTIONS

if TYPE_CHECKING:
    from ...store import StoredConversation as Stored
    from ..app import ChatApp

_MOST = 50


class ActionCommands(Provider):
    """The rows of the table that make sense without a key."""

    async def discover(self) -> Hits:
        """All of them."""
        for action in _offered():
            text = self._text(action)
            yield DiscoveryHit(Content(text), partial(self._window.perform, action), text)

    async def search(self, query: str) -> Hits:
        """Those that have the letters."""
        matcher = self.matcher(query)
        for action in _offered():
            text = self._text(action)
            if (score := matcher.match(text)) > 0:
                run = partial(self._window.perform, action)
                yield Hit(score, matcher.highlight(text), run, text=text)

    @property
    def _window(self) -> "ChatApp":
        return cast("ChatApp", self.app)

    def _text(self, action: Action) -> str:
        ways = [self._window.keymap.shown(action.name)]
        if action.slash and f"/{action.slash}" not in ways:
            ways.append(usage(action))
        return action.about + "".join(f"  {way}" for way in ways if way)


class ConversationCommands(Provider):
    """The conversations that are not archived."""

    async def startup(self) -> None:
        """Read them once."""
        self._found: list[Stored] = []
        window = cast("ChatApp", self.app)
        if window.conversation.opened:
            keeper = window.conversation.keeper
            try:
                self._found = await keeper.run(keeper.store.conversations.list)
            except StoreError as e:
                window.say(str(e), error=True, seconds=10)

    async def search(self, query: str) -> Hits:
        """Those whose title has the letters, in this order."""
        matcher = self.matcher(query)
        # Thousands of titles are sifted by their letters first; the matcher takes its time.
        letters = query.casefold()
        some = [c for c in self._found if _has(c.title.casefold(), letters)][: 4 * _MOST]
        scored = [(matcher.match(title(c)), c) for c in some]
        scored.sort(key=lambda pair: -pair[0])
        window = cast("ChatApp", self.app)
        for score, conversation in scored[:_MOST]:
            if score > 0:
                name = title(conversation)
                run = partial(_show, window, conversation.id)
                yield Hit(score, matcher.highlight(name), run, text=name, help=_("conversation"))


def open_palette() -> CommandPalette:
    """A palette to be pushed."""
    return CommandPalette(
        providers=[ActionCommands, ConversationCommands],
        placeholder=_("Find an action or a conversation"),
    )


def _has(text: str, letters: str) -> bool:
    """Whether the letters stand in the text in this order."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _offered() -> list[Action]:
    return [action for action in ACTIONS.values() if action.palette]


def _show(window: "ChatApp", key: str) -> None:
    window.spawn(window.conversation.show(key))
