"""Fixtures for the tests of whole commands."""

from collections.abc import Iterator

import pytest

from tests import faults

from .home import home

__all__ = ["home", "server"]


@pytest.fixture
def server() -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running
