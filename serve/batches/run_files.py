"""The files of a run, in its folder: `qchat batch -o output.jsonl` names them so."""

RESULTS, ERRORS = "output.jsonl", "output.errors.jsonl"
LOCK = "output.lock"
"""It is held while a run writes."""
