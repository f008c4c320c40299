"""Libraries of the extra `data`, imported when a file needs them."""

import importlib
from types import ModuleType

from ...errors import UsageError
from ...i18n import _
from ...installation import install_hint


def require(module: str, purpose: str) -> ModuleType:
    """Import a library. Raises `UsageError` with the install command where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        text = _("Reading {purpose} needs {package}; install it: {command}")
        package = module.partition(".")[0]
        raise UsageError(
            text.format(purpose=purpose, package=package, command=install_hint("data"))
        ) from None
