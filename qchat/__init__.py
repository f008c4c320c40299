"""qchat: chat, bulk answers and a server for open models on vLLM.

From Python: ``from qchat import ask, Client`` for questions, ``from qchat.batch import run_batch``
for many.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

__all__ = ["Answer", "AnswerStream", "Client", "QchatError", "__version__", "aask", "ask"]

# By name, as in the table of `cli`: nothing below imports upwards. `__init__.pyi` has the types.
_HOMES = {
    "QchatError": "qchat.errors",
    "Answer": "qchat.api.answers",
    "AnswerStream": "qchat.api.answers",
    "Client": "qchat.api.library",
    "aask": "qchat.api.library",
    "ask": "qchat.api.library",
}


def __getattr__(name: str) -> Any:
    # At their first use: `qchat --help` imports none of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
