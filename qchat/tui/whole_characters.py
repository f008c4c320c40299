"""A compositor that keeps wide characters whole above the edges of covered widgets."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from textual._compositor import Compositor
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip

_NEEDED = ("cuts", "visible_widgets", "_render_chops", "_get_renders")


class WholeCharacters(Compositor):
    """Cuts a row only where another widget becomes visible.

    Textual cuts it at the edges of covered widgets, too, and makes blanks of a wide character that
    stands across one (https://github.com/Textualize/textual/issues/6357).
    """

    @property
    def cuts(self) -> list[list[int]]:
        """The visible edges of the widgets in each row."""
        if self._cuts is not None:
            return self._cuts
        width, height = self.size
        cuts = [{0, width} for _row in range(height)]
        covered: list[list[tuple[int, int]]] = [[] for _row in range(height)]
        for region, clip in self.visible_widgets.values():  # those in front come first
            shown = region.intersection(clip)
            left, right = shown.column_span
            for y in shown.line_range if shown.width else ():
                if not 0 <= y < height:
                    continue
                for x in (left, right):
                    if not any(start < x < end for start, end in covered[y]):
                        cuts[y].add(x)
                covered[y].append((left, right))
        self._cuts = [sorted(row) for row in cuts]
        return self._cuts

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        """Render the pieces between the cuts; each is of the first widget that has all of it."""
        cuts = self.cuts
        pieces: list[dict[int, Strip | None]] = [dict.fromkeys(row[:-1]) for row in cuts]
        for region, clip, strips in self._get_renders(crop):
            shown = region.intersection(clip)
            left, right = shown.column_span
            for y, strip in zip(shown.line_range, strips, strict=False):
                if not is_rendered_line(y):
                    continue
                row = pieces[y]
                for start, end in pairwise(cuts[y]):
                    if left <= start and end <= right and row[start] is None:
                        row[start] = strip.crop(start - left, end - left)
        return pieces  # type: ignore[return-value]  # as Textual's own: None where not in `crop`


def keep_whole(screen: Screen[Any]) -> None:
    """Let a new screen keep its wide characters whole, where this Textual has what that needs."""
    if all(hasattr(Compositor, name) for name in _NEEDED):
        screen._compositor = WholeCharacters()
