"""Fixtures for the soak tests, which run whole commands."""

from tests.batch.home import home

__all__ = ["home"]
