"""One message of a conversation as it is drawn: blocks of lines, made when they are looked at."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from ...i18n import _
from ...message_state import MessageState
from ...sanitize import clean, one_line
from ..markdown import Line, Palette, Piece, PieceKind
from ..markdown.line import Span, line_of
from .heights import Heights

if TYPE_CHECKING:
    from ..markdown import Renderer, Splitter


@dataclass(frozen=True, slots=True)
class Message:
    """What is shown of a message. Texts may be anything: they are made safe here.

    `note` is a line of figures below an answer; `error` a sentence for a person.
    `thought_seconds` and `thought_tokens` are shown where the thinking is folded. `id` is that
    of the store. `version` says which one it is, and of how many, where there are several.
    """

    role: str
    text: str = ""
    reasoning: str = ""
    state: MessageState = MessageState.COMPLETE
    error: str = ""
    note: str = ""
    thought_seconds: float | None = None
    thought_tokens: int | None = None
    id: int | None = None
    version: tuple[int, int] | None = None


class Part(Enum):
    """What a block belongs to."""

    SPACE = "space"
    THOUGHT_HEAD = "thought_head"
    THOUGHT = "thought"
    BODY = "body"
    FOOT = "foot"


@dataclass(slots=True, eq=False)
class Block:
    """A few lines; `lines` is None until they have been looked at, `height` is then a guess."""

    part: Part
    piece: Piece | None = None
    lines: list[Line] | None = None
    height: int = 1
    strips: list[object] = field(default_factory=list)


_AFTER = (Part.BODY, Part.FOOT)
_PLAIN_LINES = 16
_PLAIN_CHARS = 4_000


class PlainSplitter:
    """As `Splitter`, for text that is no Markdown: pieces of a few lines each, joined the text."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self._open = ""

    def feed(self, text: str) -> None:
        """More text, cut anywhere."""
        self._open += text
        while len(self._open) > _PLAIN_CHARS or self._open.count("\n") > _PLAIN_LINES:
            at = self._open.rfind("\n", 0, _PLAIN_CHARS)
            if at < 0:
                at = self._open.rfind(" ", 1, _PLAIN_CHARS)
                at = _PLAIN_CHARS - 1 if at < 0 else at
            lines = self._open[:at].split("\n")
            if len(lines) > _PLAIN_LINES:
                at = sum(len(line) + 1 for line in lines[:_PLAIN_LINES]) - 1
            at += self._open[at] in "\n "
            self.closed.append(self._open[:at])
            self._open = self._open[at:]

    @property
    def tail(self) -> str:
        """What is not closed."""
        return self._open

    def finish(self) -> None:
        """The text ends."""
        if self._open:
            self.closed.append(self._open)
            self._open = ""


class MessageView:
    """The blocks of one message for one width. It is cheap until `split` is called."""

    def __init__(self, message: Message) -> None:
        self.message = _safe(message)
        self.blocks: list[Block] = []
        self.heights = Heights()
        self.is_split = False
        self.thought_open = False
        self._body: Splitter | PlainSplitter = self._new_body()
        self._thought = PlainSplitter()
        self._stable = 0
        self._known: dict[int, Block] = {}

    @property
    def streams(self) -> bool:
        """Whether more may come."""
        return self.message.state is MessageState.STREAMING

    @property
    def lead(self) -> int:
        """How many blocks stand before those of the text."""
        return next((n for n, b in enumerate(self.blocks) if b.part in _AFTER), len(self.blocks))

    @property
    def references(self) -> dict[str, str]:
        """The link definitions of the text."""
        return {} if isinstance(self._body, PlainSplitter) else self._body.references

    def _new_body(self) -> "Splitter | PlainSplitter":
        if self.message.role != "assistant":
            return PlainSplitter()
        from ..markdown import Splitter

        return Splitter()

    def guess(self, width: int) -> int:
        """About how many lines the message takes; quick."""
        text = self.message.text
        wide = len(text) if text.isascii() else len(text) * 3 // 2
        return 3 + text.count("\n") + wide // max(1, width)

    def split(self, width: int) -> None:
        """Cut the text into blocks, if that was not done."""
        if self.is_split:
            return
        self.is_split = True
        self._body = self._new_body()
        self._thought = PlainSplitter()
        self._body.feed(self.message.text)
        self._thought.feed(self.message.reasoning)
        if not self.streams:
            self._body.finish()
            self._thought.finish()
        self.rebuild(width)

    def feed(self, text: str, reasoning: str, width: int) -> None:
        """More of a streaming answer; the texts must be clean."""
        self.split(width)
        answers = bool(self.message.text.strip())
        self.message = replace(
            self.message,
            text=self.message.text + text,
            reasoning=self.message.reasoning + reasoning,
        )
        self._body.feed(text)
        self._thought.feed(reasoning)
        if reasoning or answers != bool(self.message.text.strip()):
            self.rebuild(width)
        else:
            self._renew_tail(width)

    def replace_text(self, message: Message, width: int) -> None:
        """Show another text: thinking that had been taken for the answer, or the end of it."""
        old = self.message
        self.message = _safe(message)
        same = (old.text, old.reasoning) == (self.message.text, self.message.reasoning)
        references = len(self.references)
        goes_on = self.streams and old.state is not MessageState.STREAMING
        if not same or goes_on or not self.is_split:
            self.is_split = False
            self._known.clear()
            self.split(width)
            return
        if not self.streams:
            self._body.finish()
            self._thought.finish()
        if references:
            self._known.clear()  # a definition at the end makes links of what stands before
        self.rebuild(width)

    def forget_lines(self, width: int) -> None:
        """Another width or palette: every block is drawn anew when it is looked at."""
        self._known.clear()
        if self.is_split:
            self.rebuild(width)

    def rebuild(self, width: int) -> None:
        """Make the list of blocks anew; what was drawn stays drawn."""
        self.blocks = [Block(Part.SPACE, lines=[Line(())])]
        if self.message.reasoning:
            self.blocks.append(Block(Part.THOUGHT_HEAD))
            if self.shows_thought:
                for text in self._thought.closed:
                    self.blocks.append(self._block_of(Part.THOUGHT, text, width))
                if self._thought.tail:
                    self.blocks.append(_plain_block(Part.THOUGHT, self._thought.tail, width))
        self._stable = len(self.blocks)
        self.heights = Heights(block.height for block in self.blocks)
        self._done = 0
        self._renew_tail(width)

    @property
    def shows_thought(self) -> bool:
        """Whether the thinking is unfolded: on request, and by itself until the answer begins."""
        return self.thought_open or (self.streams and not self.message.text.strip())

    def _renew_tail(self, width: int) -> None:
        del self.blocks[self._stable :]
        self.heights.truncate(self._stable)
        closed = self._body.closed
        for number in range(self._done, len(closed)):
            self._add(self._block_of(Part.BODY, closed[number], width))
        self._done = len(closed)
        self._stable = len(self.blocks)
        if not isinstance(self._body, PlainSplitter):
            for piece in self._body.tail():
                self._add(Block(Part.BODY, piece, height=_guess(piece.body, width)))
        elif self._body.tail:
            self._add(_plain_block(Part.BODY, self._body.tail, width))
        if self.message.role == "assistant" or self.message.version:
            self._add(Block(Part.FOOT))

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        self.heights.append(block.height)

    def _block_of(self, part: Part, source: "Piece | str", width: int) -> Block:
        known = self._known.get(id(source))
        if known is None:
            if isinstance(source, str):
                known = _plain_block(part, source, width)
            else:
                known = Block(part, source, height=_guess(source.body, width))
            self._known[id(source)] = known
        return known

    def draw(self, index: int, renderer: "Renderer") -> int:
        """Make the lines of a block, if they are not; returns by how much the message grew."""
        block = self.blocks[index]
        if block.lines is None:
            block.lines = self._lines(block, index, renderer)
            block.height = len(block.lines)
        return self.heights.set(index, block.height)

    def _lines(self, block: Block, index: int, renderer: "Renderer") -> list[Line]:
        from ..markdown.wrap import wrap

        palette = renderer.palette
        if block.part is Part.THOUGHT_HEAD:
            return [self._thought_head(palette)]
        if block.part is Part.FOOT:
            alone = self.blocks[index - 1].part is Part.SPACE
            return list(self._foot(renderer))[1 if alone and not self.streams else 0 :]
        assert block.piece is not None
        if block.part is Part.THOUGHT:
            lead = [("▎ ", palette.bar)]
            spans = [(block.piece.body.expandtabs(4), palette.thought)]
            return [line_of(part, lead, soft) for part, soft in wrap(spans, renderer.width - 2)]
        if self.message.role != "assistant":
            lead = [("▌ ", palette.you)]
            spans = [(block.piece.body.expandtabs(4), palette.text)]
            return [line_of(part, lead, soft) for part, soft in wrap(spans, renderer.width - 2)]
        before = self.blocks[index - 1].part
        first = before is Part.SPACE
        lines = renderer.lines(block.piece, self.references, first=first)
        if before in (Part.THOUGHT_HEAD, Part.THOUGHT) and lines and lines[0].segments:
            lines.insert(0, Line(()))
        return lines

    def _thought_head(self, palette: Palette) -> Line:
        message = self.message
        figures = []
        if message.thought_seconds is not None:
            figures.append(_("{n:.1f} s").format(n=message.thought_seconds))
        if message.thought_tokens is not None:
            figures.append(_("{n:,} tokens").format(n=message.thought_tokens))
        thinking = self.streams and not message.text.strip()
        words = _("Thinking") if thinking else _("Thought")
        sign = "▾ " if self.shows_thought else "▸ "
        text = " · ".join([words, *figures])
        return line_of([(text, palette.thought)], [(sign, palette.bullet)])

    def _foot(self, renderer: "Renderer") -> Iterator[Line]:
        from ..markdown.wrap import wrap

        palette, message = renderer.palette, self.message
        spans: list[Span] = []
        version = ""
        if message.version is not None:
            version = _("version {n} of {of}").format(n=message.version[0], of=message.version[1])
        if message.role != "assistant":
            yield line_of([(version, palette.dim)], [("▌ ", palette.you)])
            return
        if message.state is MessageState.STREAMING:
            if not message.text and not message.reasoning:
                yield line_of([(_("Waiting for the first word …"), palette.dim)])
            return
        if message.state is MessageState.STOPPED:
            spans.append((_("■ Stopped"), palette.dim))
        elif message.state is MessageState.ERROR:
            spans.append(("✗ " + one_line(message.error or _("It failed.")), palette.bad))
        if message.note:
            spans.append(((" · " if spans else "") + one_line(message.note), palette.dim))
        if version:
            spans.append(((" · " if spans else "") + version, palette.dim))
        if not message.text and message.state is MessageState.COMPLETE:
            spans.insert(0, (_("The answer is empty.") + (" " if spans else ""), palette.dim))
        if spans:
            yield Line(())
            for part, soft in wrap(spans, renderer.width):
                yield line_of(part, soft=soft)


def _safe(message: Message) -> Message:
    return replace(message, text=clean(message.text), reasoning=clean(message.reasoning))


def _plain_block(part: Part, text: str, width: int) -> Block:
    piece = _plain_piece(text)
    return Block(part, piece, height=_guess(text, width))


def _plain_piece(text: str) -> Piece:
    piece = Piece(PieceKind.FLOW, closed=True)
    *whole, rest = text.split("\n")
    piece.lines = piece.raw = [line + "\n" for line in whole] + [rest] * bool(rest)
    return piece


def _guess(text: str, width: int) -> int:
    wide = len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text[:200])
    return 1 + text.count("\n") + wide // max(1, width)
