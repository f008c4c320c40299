"""Who may ask the server what: the ASGI layer around vLLM's API, its routes, rules and keys.

vLLM loads `Access` by this package's name (`--middleware qchat.serve.access.Access`).
"""

from .layer import Access as Access
