"""Engines that answer a `Request` with an `Outcome`: vLLM in this process, or servers.

`selection` chooses one; an engine never retries and never writes.
"""
