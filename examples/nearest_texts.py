"""Find the texts that are closest to each other, in a Parquet file of embeddings.

    qchat batch examples/texts.parquet --endpoint embeddings --template '{text}' \\
        -o vectors.parquet --model demo --vllm runner=pooling --vllm convert=embed
    python examples/nearest_texts.py vectors.parquet

The demo model was not made for embeddings; name a model that was, such as
Qwen/Qwen3-Embedding-0.6B, and leave out both --vllm options.
"""

import math
import sys

import pyarrow.parquet


def similarity(one: list[float], other: list[float]) -> float:
    """The cosine of the angle between two vectors."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


table = pyarrow.parquet.read_table(sys.argv[1], columns=["text", "output"])
texts, vectors = (table.column(name).to_pylist() for name in ("text", "output"))
for number, text in enumerate(texts):
    others = [other for other in range(len(texts)) if other != number]
    nearest = max(others, key=lambda other: similarity(vectors[number], vectors[other]))
    print(f"{text} -> {texts[nearest]} ({similarity(vectors[number], vectors[nearest]):.2f})")
