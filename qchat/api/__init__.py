"""OpenAI-compatible servers: endpoints and keys, the SDK client, streams, reasoning.

Others import the modules they need; nothing here imports `commands`, `tui` or `engine`.
"""
