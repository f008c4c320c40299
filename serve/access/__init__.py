"""Who may ask the server what: the ASGI layer around vLLM's API, its routes, rules and keys.

vLLM loads `Access` by this package's name (`--middleware qchat.serve.access.Access`). It is
imported only then: the command line uses other modules of this package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .layer import Access as Access


def __getattr__(name: str) -> Any:
    """Import `Access` when it is asked for."""
    if name == "Access":
        from .layer import Access

        return Access
    raise AttributeError(name)
