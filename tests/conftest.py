"""For all tests."""

import os
import tempfile

import pytest
from hypothesis import settings

# No deadline for one example: a busy machine is no failure.
settings.register_profile("qchat", deadline=None)
settings.load_profile("qchat")


def pytest_configure(config: pytest.Config) -> None:
    """No test sees the settings, the servers or the keys of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("QCHAT_", "OPENAI_")) and not name.startswith(
            ("QCHAT_SOAK_", "QCHAT_NEW_SCREENS")
        ):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="qchat-home-")
    os.environ["QCHAT_HOME"] = home.name
    config.add_cleanup(home.cleanup)
