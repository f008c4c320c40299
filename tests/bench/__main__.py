"""All measurements, one after the other: `make bench`, or `python -m tests.bench NAME ...`."""

import subprocess
import sys

BENCHES = {
    "startup": "starting `qchat` against a bare `import click`",
    "journal": "reading results back on resume",
    "store": "searching 100,000 messages, opening a conversation of 10,000",
    "offline": "offline throughput against one `LLM.chat` over the whole list",
    "offline --ragged": "the same with answers of very different lengths",
}


def main(names: list[str]) -> int:
    """Run those named, or all; 1 where one missed its target or failed."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no bench {unknown[0]!r}; there are {', '.join(BENCHES)}.")
        return 2
    failed = 0
    for name in names or BENCHES:
        print(f"== {name}: {BENCHES[name]}", flush=True)
        failed |= (
            subprocess.run([sys.executable, "-m", *f"tests.bench.{name}".split()]).returncode != 0
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
