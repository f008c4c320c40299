"""Launching vLLM's server and looking after it. `launcher` is the process that becomes the server.

This room may import `qchat`, never `qchat.batch`; what both need stands in `qchat`.
"""
