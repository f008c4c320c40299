"""Files that can't be read: what they are, and the command that converts them."""

import shlex

from ....i18n import _
from .compression import ENDINGS

_PANDAS = (
    'python -c "import pandas, sys; pandas.{reader}(sys.argv[1])'
    ".to_json(sys.argv[2], orient='records', lines=True)\" {{path}} {{stem}}.jsonl"
)
_NUMPY = (
    'python -c "import json, numpy, sys; '
    '[print(json.dumps(row)) for row in numpy.load(sys.argv[1]).tolist()]" {path} > {stem}.jsonl'
)
_SQLITE = "sqlite3 -csv -header {path} 'SELECT * FROM TABLE' > {stem}.csv"
_OFFICE = "soffice --headless --convert-to csv {path}"
_PIPE = "{command} | qchat batch - -o {{stem}}.results.jsonl"

# First bytes, what the file is, and how to convert it.
_TYPES = (
    (b"SQLite format 3\0", _("SQLite database"), _SQLITE),
    (b"Obj\x01", _("Avro file"), "fastavro {path} > {stem}.jsonl"),
    (b"ORC", _("ORC file"), _PANDAS.format(reader="read_orc")),
    (b"\x89HDF", _("HDF5 file"), _PANDAS.format(reader="read_hdf")),
    *(
        (b"\x80" + bytes([protocol]), _("Python pickle"), _PANDAS.format(reader="read_pickle"))
        for protocol in range(2, 6)  # older ones are text
    ),
    (b"FEA1", _("Feather file of version 1"), _PANDAS.format(reader="read_feather")),
    (b"\x93NUMPY", _("NumPy array"), _NUMPY),
    (b"%PDF", _("PDF document"), "pdftotext {path} {stem}.txt"),
    (b"\xd0\xcf\x11\xe0", _("Excel file of the old format"), _OFFICE),
    (b"7z\xbc\xaf\x27\x1c", _("7-Zip archive"), _PIPE.format(command="7z x -so {path}")),
    (b"Rar!", _("RAR archive"), _PIPE.format(command="unrar p -inul {path}")),
    (b"\x04\x22\x4d\x18", _("LZ4 file"), _PIPE.format(command="lz4 -dc {path}")),
)


_UNPACKERS = {"gzip": "gzip", "zstandard": "zstd", "bzip2": "bzip2", "xz": "xz"}


def describe_foreign(head: bytes, name: str, stem: str) -> str | None:
    """Return a sentence about a file that begins with `head` if it can't be read; else None."""
    if head.startswith(b"PK\x03\x04"):
        if b"xl/" in head or name.lower().endswith((".xlsx", ".xlsm")):
            kind, command = _("Excel file"), _OFFICE
        else:
            kind, command = _("ZIP archive"), _PIPE.format(command="unzip -p {path}")
    elif head[257:262] == b"ustar":
        kind, command = _("tar archive"), "tar -xf {path}"
    else:
        matches = [entry for entry in _TYPES if head.startswith(entry[0])]
        if not matches:
            return None
        _magic, kind, command = matches[0]
    command = command.format(path=shlex.quote(name), stem=shlex.quote(stem))
    text = _("{path} can't be read, as it is of this type: {type}. Convert it: {command}")
    return text.format(path=name, type=kind, command=command)


def describe_packed(packing: str, name: str, last_part: str) -> str:
    """Return a sentence about a file with typed columns, of which compressed ones can't be read:
    rows are sought in them. `packing` is the compression, `last_part` the file's name alone."""
    unpacked = last_part
    for ending in ENDINGS:
        unpacked = unpacked.removesuffix(ending)
    if unpacked == last_part:
        unpacked += ".unpacked"
    command = f"{_UNPACKERS[packing]} -dc {shlex.quote(name)} > {shlex.quote(unpacked)}"
    text = _("{path} is a compressed file with typed columns; unpack it first: {command}")
    return text.format(path=name, command=command)


def is_binary(head: bytes) -> bool:
    """Whether this is no text: a zero byte in the first line, or in what there is of it.

    A crash may leave zero bytes in a later line; they cost that line.
    """
    first = head.lstrip(b"\r\n").partition(b"\n")[0]
    return b"\0" in first[:4096]
