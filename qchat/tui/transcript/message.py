"""One message of a conversation as blocks of lines, which are drawn as they come into view."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from ...i18n import _
from ...message_state import MessageState
from ...sanitize import clean, one_line
from ..markdown import Line, Palette, Piece, PieceKind
from ..markdown.line import Span, make_line, with_lead
from .heights import Heights
from .pictures import MAX_ROWS, picture_lines

if TYPE_CHECKING:
    from ..markdown import Renderer, Splitter
    from ..markdown.references import References


class Message(NamedTuple):
    """A message as the transcript shows it. Its texts are sanitized by `MessageView`.

    `note` is a line of figures below an answer, `error` a sentence for the user. `thought_seconds`
    and `thought_tokens` stand in the header of the reasoning. `id` is the store's. `version` is the
    number of this version and how many there are, None where there is only one. `pictures` are the
    URLs of pictures below the text.
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
    pictures: tuple[str, ...] = ()


class Section(Enum):
    """The section of a message to which a block belongs."""

    SPACER = "space"
    THOUGHT_HEADER = "thought_head"
    THOUGHT = "thought"
    BODY = "body"
    PICTURE = "picture"
    FOOTER = "foot"


@dataclass(slots=True, eq=False)
class Block:
    """A few lines; `lines` is None until they are drawn, and `height` an estimate until then."""

    section: Section
    piece: Piece | None = None
    lines: list[Line] | None = None
    height: int = 1
    strips: list[object] = field(default_factory=list)
    picture: str = ""


_AFTER_REASONING = (Section.BODY, Section.PICTURE, Section.FOOTER)
_PLAIN_LINES = 16
_VARIATION_SELECTOR = "\ufe0f"
_PLAIN_CHARS = 4_000


class PlainSplitter:
    """Like `Splitter` for text that is not Markdown: pieces of a few lines, together the text."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self._open = ""

    def feed(self, text: str) -> None:
        """Append text, chunked anywhere."""
        self._open += text
        while len(self._open) > _PLAIN_CHARS or self._open.count("\n") > _PLAIN_LINES:
            cut = self._open.rfind("\n", 0, _PLAIN_CHARS)
            if cut < 0:
                cut = self._open.rfind(" ", 1, _PLAIN_CHARS)
                cut = _PLAIN_CHARS - 1 if cut < 0 else cut
            lines = self._open[:cut].split("\n")
            if len(lines) > _PLAIN_LINES:
                cut = sum(len(line) + 1 for line in lines[:_PLAIN_LINES]) - 1
            cut += self._open[cut] in "\n "
            self.closed.append(self._open[:cut])
            self._open = self._open[cut:]

    @property
    def tail(self) -> str:
        """The text after the closed pieces."""
        return self._open

    def finish(self) -> None:
        """Close the last piece: the text is complete."""
        if self._open:
            self.closed.append(self._open)
            self._open = ""


class MessageView:
    """The blocks of one message for one width; cheap until `split` is called."""

    def __init__(self, message: Message, narrow_emoji: bool = False) -> None:
        """`narrow_emoji`: the terminal draws emoji with a variation selector one cell wide, which
        they are without it."""
        self._narrow_emoji = narrow_emoji
        self.message = _sanitize(message)
        self.blocks: list[Block] = []
        self.heights = Heights()
        self.is_split = False
        self.thought_expanded = False
        self._body: Splitter | PlainSplitter = self._new_body()
        self._thought = PlainSplitter()
        self._stable_count = 0
        self._block_cache: dict[int, Block] = {}

    @property
    def is_streaming(self) -> bool:
        """Whether the answer is still being streamed."""
        return self.message.state is MessageState.STREAMING

    @property
    def body_index(self) -> int:
        """The index of the first block of the text, after spacer and reasoning."""
        return next(
            (n for n, b in enumerate(self.blocks) if b.section in _AFTER_REASONING),
            len(self.blocks),
        )

    @property
    def references(self) -> "References | None":
        """The link definitions of the text."""
        return None if isinstance(self._body, PlainSplitter) else self._body.references

    def _new_body(self) -> "Splitter | PlainSplitter":
        if self.message.role != "assistant":
            return PlainSplitter()
        from ..markdown import Splitter

        return Splitter()

    def estimate_height(self, width: int) -> int:
        """Estimate the lines of the message without splitting it."""
        text = self.message.text
        cells = len(text) if text.isascii() else len(text) * 3 // 2
        pictures = MAX_ROWS * len(self.message.pictures)
        return 3 + text.count("\n") + cells // max(1, width) + pictures

    def split(self, width: int) -> None:
        """Split the text into blocks unless that is done."""
        if self.is_split:
            return
        self.is_split = True
        self._body = self._new_body()
        self._thought = PlainSplitter()
        self._body.feed(self._drawable(self.message.text))
        self._thought.feed(self._drawable(self.message.reasoning))
        if not self.is_streaming:
            self._body.finish()
            self._thought.finish()
        self.rebuild(width)

    def feed(self, text: str, reasoning: str, width: int) -> None:
        """Append to a streaming answer; the texts must be sanitized."""
        self.split(width)
        has_answer = bool(self.message.text.strip())
        self.message = self.message._replace(
            text=self.message.text + text,
            reasoning=self.message.reasoning + reasoning,
        )
        self._body.feed(self._drawable(text))
        self._thought.feed(self._drawable(reasoning))
        if reasoning or has_answer != bool(self.message.text.strip()):
            self.rebuild(width)
        else:
            self._rebuild_tail(width)

    def replace_text(self, message: Message, width: int) -> None:
        """Replace the message: the answer has ended, or its text turned out to be reasoning."""
        old = self.message
        self.message = _sanitize(message)
        same = (old.text, old.reasoning) == (self.message.text, self.message.reasoning)
        resumes = self.is_streaming and old.state is not MessageState.STREAMING
        if not same or resumes or not self.is_split:
            self.is_split = False
            self._block_cache.clear()
            self.split(width)
            return
        if not self.is_streaming:
            self._body.finish()
            self._thought.finish()
        references = self.references
        if references is not None and (references or references.footnotes):
            self._block_cache.clear()  # a late link definition changes the blocks before it
        self.rebuild(width)

    def _drawable(self, text: str) -> str:
        return text.replace(_VARIATION_SELECTOR, "") if self._narrow_emoji else text

    def set_narrow_emoji(self, narrow: bool) -> None:
        """Split the text anew, for emoji of another width."""
        self._narrow_emoji = narrow
        self.is_split = False
        self._block_cache.clear()

    def invalidate(self, width: int) -> None:
        """Drop all drawn lines: the width or the palette has changed."""
        self._block_cache.clear()
        if self.is_split:
            self.rebuild(width)

    def rebuild(self, width: int) -> None:
        """Build the list of blocks anew; cached blocks stay drawn."""
        self.blocks = [Block(Section.SPACER, lines=[Line(())])]
        if self.message.reasoning:
            self.blocks.append(Block(Section.THOUGHT_HEADER))
            if self.shows_thought:
                for text in self._thought.closed:
                    self.blocks.append(self._cached_block(Section.THOUGHT, text, width))
                if self._thought.tail:
                    self.blocks.append(_plain_block(Section.THOUGHT, self._thought.tail, width))
        self._stable_count = len(self.blocks)
        self.heights = Heights(block.height for block in self.blocks)
        self._closed_count = 0
        self._rebuild_tail(width)

    @property
    def shows_thought(self) -> bool:
        """Whether the reasoning is expanded: on request, and always until the answer begins."""
        return self.thought_expanded or (self.is_streaming and not self.message.text.strip())

    def _rebuild_tail(self, width: int) -> None:
        del self.blocks[self._stable_count :]
        self.heights.truncate(self._stable_count)
        closed = self._body.closed
        for number in range(self._closed_count, len(closed)):
            self._add(self._cached_block(Section.BODY, closed[number], width))
        self._closed_count = len(closed)
        self._stable_count = len(self.blocks)
        if not isinstance(self._body, PlainSplitter):
            for piece in self._body.tail():
                self._add(Block(Section.BODY, piece, height=_estimate_height(piece.body, width)))
        elif self._body.tail:
            self._add(_plain_block(Section.BODY, self._body.tail, width))
        for url in self.message.pictures:
            self._add(Block(Section.PICTURE, height=MAX_ROWS, picture=url))
        if self.message.role == "assistant" or self.message.version:
            self._add(Block(Section.FOOTER))

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        self.heights.append(block.height)

    def _cached_block(self, section: Section, source: "Piece | str", width: int) -> Block:
        block = self._block_cache.get(id(source))
        if block is None:
            if isinstance(source, str):
                block = _plain_block(section, source, width)
            else:
                block = Block(section, source, height=_estimate_height(source.body, width))
            self._block_cache[id(source)] = block
        return block

    def draw(self, index: int, renderer: "Renderer") -> int:
        """Draw a block unless it is drawn; return by how many lines the message grew."""
        block = self.blocks[index]
        if block.lines is None:
            block.lines = self._lines(block, index, renderer)
            block.height = len(block.lines)
        return self.heights.set(index, block.height)

    def _lines(self, block: Block, index: int, renderer: "Renderer") -> list[Line]:
        from ..markdown.wrap import wrap

        palette = renderer.palette
        if block.section is Section.THOUGHT_HEADER:
            return [self._thought_header(palette)]
        if block.section is Section.FOOTER:
            only_block = self.blocks[index - 1].section is Section.SPACER
            return list(self._footer_lines(renderer))[
                1 if only_block and not self.is_streaming else 0 :
            ]
        if block.section is Section.PICTURE:
            bar: list[Span] = [("▌ ", palette.user)]
            drawn = picture_lines(block.picture, renderer.width - 2, palette)
            return [with_lead(line, bar) for line in drawn]
        assert block.piece is not None
        if block.section is Section.THOUGHT:
            lead = [("▎ ", palette.quote_bar)]
            spans = [(block.piece.body.expandtabs(4), palette.reasoning)]
            return [make_line(part, lead, soft) for part, soft in wrap(spans, renderer.width - 2)]
        if self.message.role != "assistant":
            lead = [("▌ ", palette.user)]
            spans = [(block.piece.body.expandtabs(4), palette.text)]
            return [make_line(part, lead, soft) for part, soft in wrap(spans, renderer.width - 2)]
        section_before = self.blocks[index - 1].section
        first = section_before is Section.SPACER
        lines = renderer.lines(block.piece, self.references, first=first)
        if (
            section_before in (Section.THOUGHT_HEADER, Section.THOUGHT)
            and lines
            and lines[0].segments
        ):
            lines.insert(0, Line(()))
        return lines

    def _thought_header(self, palette: Palette) -> Line:
        message = self.message
        figures = []
        if message.thought_seconds is not None:
            figures.append(_("{n:.1f} s").format(n=message.thought_seconds))
        if message.thought_tokens is not None:
            figures.append(_("{n:,} tokens").format(n=message.thought_tokens))
        thinking = self.is_streaming and not message.text.strip()
        label = _("Thinking") if thinking else _("Thought")
        arrow = "▾ " if self.shows_thought else "▸ "
        text = " · ".join([label, *figures])
        return make_line([(text, palette.reasoning)], [(arrow, palette.bullet)])

    def _footer_lines(self, renderer: "Renderer") -> Iterator[Line]:
        from ..markdown.wrap import wrap

        palette, message = renderer.palette, self.message
        spans: list[Span] = []
        version = ""
        if message.version is not None:
            version = _("version {n} of {of}").format(n=message.version[0], of=message.version[1])
        if message.role != "assistant":
            yield make_line([(version, palette.dim)], [("▌ ", palette.user)])
            return
        if message.state is MessageState.STREAMING:
            if not message.text and not message.reasoning:
                yield make_line([(_("Waiting for the first token …"), palette.dim)])
            return
        if message.state is MessageState.STOPPED:
            spans.append((_("■ Stopped"), palette.dim))
        elif message.state is MessageState.ERROR:
            spans.append(("✗ " + one_line(message.error or _("Failed.")), palette.error))
        if message.note:
            spans.append(((" · " if spans else "") + one_line(message.note), palette.dim))
        if version:
            spans.append(((" · " if spans else "") + version, palette.dim))
        if not message.text and message.state is MessageState.COMPLETE:
            spans.insert(0, (_("The answer is empty.") + (" " if spans else ""), palette.dim))
        if spans:
            yield Line(())
            for part, soft in wrap(spans, renderer.width):
                yield make_line(part, soft=soft)


def _sanitize(message: Message) -> Message:
    return message._replace(text=clean(message.text), reasoning=clean(message.reasoning))


def _plain_block(section: Section, text: str, width: int) -> Block:
    piece = _plain_piece(text)
    return Block(section, piece, height=_estimate_height(text, width))


def _plain_piece(text: str) -> Piece:
    piece = Piece(PieceKind.FLOW, is_closed=True)
    *whole, rest = text.split("\n")
    piece.lines = piece.raw = [line + "\n" for line in whole] + [rest] * bool(rest)
    return piece


def _estimate_height(text: str, width: int) -> int:
    cells = len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text[:200])
    return 1 + text.count("\n") + cells // max(1, width)
