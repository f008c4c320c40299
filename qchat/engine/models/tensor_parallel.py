"""Over how many GPUs tensor parallelism can split a model: vLLM's rules as arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...i18n import _


@dataclass(frozen=True, slots=True)
class SplitRules:
    """The numbers of a model that tensor parallelism divides.

    The attention `heads` (None where they are unknown), and those of linear attention in
    `other_heads`, must be multiples of the number of GPUs; it divides `kv_heads`, or is a multiple
    of them (each GPU then has one head, and several the same). `intermediate` rows of a
    feed-forward layer (an expert's in a mixture of `experts`) must be a multiple of GPUs × `block`,
    the rows that one scale of quantised weights covers. `most` is the largest number that is known
    to work, where one is.
    """

    heads: int | None
    kv_heads: int
    other_heads: tuple[int, ...] = ()
    intermediate: int = 0
    block: int = 1
    experts: int = 0
    most: int | None = None

    def problem(self, gpus: int) -> str | None:
        """Return why `gpus` GPUs can't share a layer; None where they can."""
        if self.most is not None and gpus > self.most:
            return _("it can be split over at most {most} GPUs").format(most=self.most)
        if self.heads is not None and self.heads % gpus:
            text = _("its {heads} attention heads are no multiple of {gpus}")
            return text.format(heads=self.heads, gpus=gpus)
        for heads in self.other_heads:
            if heads % gpus:
                text = _("its {heads} heads of linear attention are no multiple of {gpus}")
                return text.format(heads=heads, gpus=gpus)
        larger, smaller = max(self.kv_heads, gpus), min(self.kv_heads, gpus)
        if larger % smaller:
            text = _("{gpus} GPUs do not divide its {heads} KV heads")
            return text.format(gpus=gpus, heads=self.kv_heads)
        if not self._experts_whole(gpus) and not self._rows_divide(gpus):
            text = _(
                "its {rows:,} feed-forward rows, in blocks of {block}, do not divide by {gpus}"
            )
            return text.format(rows=self.intermediate, block=self.block, gpus=gpus)
        return None

    def needs_expert_parallel(self, gpus: int) -> bool:
        """Return whether the experts can be shared by `gpus` GPUs only whole, each on one GPU."""
        return self.experts > 0 and gpus > 1 and not self._rows_divide(gpus)

    def sizes(self, most: int) -> Iterator[int]:
        """Yield the possible numbers of GPUs up to `most`, the smallest first."""
        return (n for n in range(1, most + 1) if self.problem(n) is None)

    def _rows_divide(self, gpus: int) -> bool:
        return gpus == 1 or self.intermediate % (gpus * self.block) == 0

    def _experts_whole(self, gpus: int) -> bool:
        return self.experts > 0 and self.experts % gpus == 0
