"""`make messages`: bring the catalogue up to date, and list what has no translation."""

import sys

from tests.translations.catalogue import (
    MO,
    PO,
    is_translated,
    mo_bytes,
    po_bytes,
    problems,
    read,
    updated,
)


def main() -> int:
    """Write both files; 1 if a text has no translation, or one that does not fit."""
    catalogue = updated(read())
    PO.write_bytes(po_bytes(catalogue))
    MO.write_bytes(mo_bytes(catalogue))
    messages = [message for message in catalogue if message.id]
    lines = [f"{m.id!r} {problem}" for m in messages for problem in problems(m)]
    print(*lines, sep="\n")
    print(f"{sum(map(is_translated, messages))} of {len(messages)} texts are translated in {PO}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
