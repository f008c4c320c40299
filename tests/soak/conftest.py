"""The soak tests stand in the same room as those of whole commands."""

from tests.batch.conftest import home

__all__ = ["home"]
