"""OpenAI's Batch API on one's own server: files, batches, and the `qchat batch` runs behind them.

`service` is the process that answers on a private socket, `supervised` keeps it running for the
supervisor, `summary` tells other commands how many batches there are. The rest is the service's:
`store` (SQLite) is the truth about files and batches, `files_api` and `batches_api` answer
requests, `queue` moves batches from state to state, `child` runs `qchat batch` for one of them.
"""
