"""The environment that every test runs in."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import tools

# The suite reads English, whatever the machine speaks. Texts are translated at import, so this
# comes before the first import of qchat; tests of another language start a process of their own.
os.environ["QCHAT_LANG"] = "en"
# Tests that start a command without qchat's variables leave it the locale.
for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
    if os.environ.get(name, "").startswith("zh"):
        os.environ[name] = "C.UTF-8"

# No deadline for one example: a busy machine is no failure.
settings.register_profile("qchat", deadline=None)
settings.load_profile("qchat")

OWN_VARIABLES = (
    "QCHAT_LANG",
    "QCHAT_SOAK_",
    "QCHAT_NEW_SCREENS",
    "QCHAT_TEST_CLIENTS",
    tools.REQUIRE,
)


# Under nohup or as a shell's background job these are ignored, and commands leave an ignored signal
# ignored: the tests that send them to a command would wait for ever.
for signum, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Hide the settings, the servers and the keys of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("QCHAT_", "OPENAI_")) and not name.startswith(OWN_VARIABLES):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="qchat-home-")
    os.environ["QCHAT_HOME"] = home.name
    config.add_cleanup(home.cleanup)


def _restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


# A vLLM that is started in this process sets variables of its own, and children inherit them.
# Twice: what a module's fixture sets is kept for the tests of the module.
environment_of_module = pytest.fixture(autouse=True, scope="module")(_restored_environment)
environment_of_test = pytest.fixture(autouse=True)(_restored_environment)


@pytest.fixture(autouse=True)
def forget_entry_points() -> Iterator[None]:
    """Forget the names of vLLM that a test has looked up: its vLLM may have been a stand-in."""
    yield
    if (module := sys.modules.get("qchat.engine.runtime.vllm_entry_points")) is not None:
        module.load.cache_clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for a test's tools before any of its fixtures is set up."""
    tools.check_marks(item.iter_markers())
