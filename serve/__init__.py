"""Start vLLM's server and supervise it. `launcher` is the process that becomes the server.

This package may import `qchat`, never `qchat.batch`; what both need is in `qchat`.
"""
