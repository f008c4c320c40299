"""The memory of a model's KV cache, by kinds of layers: pure arithmetic.

Only layers of full attention keep every token. A sliding window or a chunk keeps its own tokens and
those of the steps under way, a linear-attention or Mamba layer one state of a fixed size, and MLA
one compressed vector a token for all heads. Shapes and rules are those of vLLM 0.32
(``v1/kv_cache_interface.py``, ``v1/core/kv_cache_utils.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

BLOCK = 16
"""Tokens of a block of the KV cache, vLLM's default on a GPU."""

IN_FLIGHT = 4096
"""Tokens that a sliding window keeps beyond its own: two steps of 2,048, vLLM's default on a GPU
with less than 70 GiB."""

IN_FLIGHT_LARGE = 16384
"""The same on a GPU with 70 GiB or more: two steps of 8,192."""

_STATES = 2  # a request's states with prefix caching, which vLLM turns on by default


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """`layers` layers whose cache has one shape; sizes are of one layer.

    `elements` are the keys and values of one KV head and token, in the cache's data type;
    `fixed_bytes` are bytes a token in a data type of their own, such as those of a sparse
    attention's index. `kv_heads` is what tensor parallelism divides; each GPU has at least one.
    `window` is the number of tokens that a layer looks back, None for all; `tokens_per_entry` is
    above 1 where several tokens share an entry. `state_bytes` is the size of a state, which does
    not grow with the context; then the other sizes are 0.
    """

    layers: int
    kv_heads: int = 1
    elements: int = 0
    fixed_bytes: int = 0
    window: int | None = None
    tokens_per_entry: int = 1
    state_bytes: int = 0

    @property
    def grows(self) -> bool:
        """Whether every token of the context takes memory."""
        return self.window is None and not self.state_bytes

    def entry_bytes(self, gpus: int, element_bytes: float) -> int:
        """Return the bytes of one entry in one layer, on each of `gpus` GPUs."""
        heads = -(-self.kv_heads // gpus)
        return int(heads * self.elements * element_bytes) + self.fixed_bytes


@dataclass(frozen=True, slots=True)
class KvCache:
    """The cache of all layers. `element_bytes` is 2 for 16 bits, 1 for FP8, where the model itself
    says so; `fixed_bytes` are those of a request whatever its length, beside the groups'."""

    groups: tuple[LayerGroup, ...]
    element_bytes: float = 2
    fixed_bytes: int = 0

    def token_bytes(self, gpus: int = 1, element_bytes: float | None = None) -> int:
        """Return the bytes that one more token takes on each of `gpus` GPUs in a long context."""
        size = self.element_bytes if element_bytes is None else element_bytes
        return sum(
            group.layers * group.entry_bytes(gpus, size) // group.tokens_per_entry
            for group in self.groups
            if group.grows
        )

    def request_bytes(
        self,
        context: int,
        gpus: int = 1,
        *,
        stages: int = 1,
        element_bytes: float | None = None,
        in_flight: int = IN_FLIGHT,
    ) -> int:
        """Return the bytes of one request of `context` tokens on each GPU.

        `gpus` share each layer (tensor parallelism), `stages` share the layers (pipeline
        parallelism); `in_flight` are the tokens that are scheduled and not yet settled.
        """
        size = self.element_bytes if element_bytes is None else element_bytes
        block, state = self._block(gpus, size)
        total = self.fixed_bytes
        for group in self._padded(stages):
            if group.state_bytes:
                total += group.layers * _STATES * max(state, -(-group.state_bytes // gpus))
                continue
            tokens, extra = context, 0
            if group.window is not None:
                tokens = min(context, group.window - 1 + in_flight)
                extra = 1  # a window may begin within a block
            entries = -(-tokens // group.tokens_per_entry)
            blocks = -(-entries // block) + extra
            total += group.layers * blocks * block * group.entry_bytes(gpus, size)
        return total

    def max_context(
        self,
        room: int,
        limit: int,
        gpus: int = 1,
        *,
        stages: int = 1,
        element_bytes: float | None = None,
        in_flight: int = IN_FLIGHT,
    ) -> int:
        """Return the longest context in tokens, at most `limit`, whose request fits in `room` bytes
        on each GPU; 0 if none does."""

        def fits(context: int) -> bool:
            return (
                self.request_bytes(
                    context, gpus, stages=stages, element_bytes=element_bytes, in_flight=in_flight
                )
                <= room
            )

        if fits(limit):
            return limit
        low, high = 0, limit  # `low` fits (0 takes no tokens), `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    def _block(self, gpus: int, element_bytes: float) -> tuple[int, int]:
        """Return the tokens of a block, and the bytes that a state takes with its padding.

        vLLM makes the blocks of a hybrid model so large that one of attention is as large as a
        state.
        """
        states = [-(-group.state_bytes // gpus) for group in self.groups if group.state_bytes]
        sizes = [g.entry_bytes(gpus, element_bytes) for g in self.groups if g.grows]
        if not states or not sizes:
            return BLOCK, max(states, default=0)
        tokens = -(-max(states) // max(sizes))
        block = -(-tokens // BLOCK) * BLOCK
        return block, block * max(sizes)

    def _padded(self, stages: int) -> Iterable[LayerGroup]:
        """Yield the groups of one pipeline stage, as vLLM pads them: where layers of several kinds
        share the cache, they are split into groups of one size, and the last group of a kind may
        be partly empty."""
        groups = [replace(group, layers=-(-group.layers // stages)) for group in self.groups]
        if all(group.grows for group in groups) or any(g.tokens_per_entry > 1 for g in groups):
            return groups
        counts = [group.layers for group in groups]
        least, most = min(counts), max(counts)
        size = most if most < 1.25 * least else least
        return [replace(group, layers=-(-group.layers // size) * size) for group in groups]


def full_attention(layers: int, kv_heads: int, head_dim: int) -> KvCache:
    """Return the cache of a model whose layers all have full attention, in 16 bits."""
    return KvCache((LayerGroup(layers, kv_heads, 2 * head_dim),))


def element_bytes(dtype: str) -> float | None:
    """Return the bytes of an element for vLLM's ``--kv-cache-dtype``; None for ``auto``."""
    name = dtype.lower()
    if name in ("", "auto"):
        return None
    if name.startswith(("fp8", "int8")):
        return 1
    if name.startswith("nvfp4"):
        return 9 / 16  # four bits, and a scale of eight for 16 elements
    if name.startswith(("int4", "turboquant", "ultraquant")):
        return 0.5625
    return 4 if name == "float32" else 2
