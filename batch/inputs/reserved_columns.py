"""The names of the columns that an answer adds to its row's line."""

ANSWER_COLUMNS = ("output", "reasoning", "finish_reason", "usage", "tool_calls", "_qchat")
"""Columns that an answer adds to a line, and that a row therefore can't have itself."""

ERROR_COLUMN = "error"
"""The column of a table that says what is wrong with a row; `--prefix` is before it, too."""

YIELDING_COLUMNS = ("model", "logprobs")
"""Columns of an answer that are parameters of a row, too: a row's own stays as it is, and the
answer's then stands in `_qchat` alone."""
