"""Where qchat keeps its files; it imports nothing of qchat, so that everything may ask it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

CONFIG_NAME = "config.toml"


class Paths(NamedTuple):
    """Where qchat keeps things; nothing is created before it is needed."""

    config: Path
    data: Path
    state: Path
    cache: Path

    @property
    def config_file(self) -> Path:
        """The configuration file, whether it exists or not."""
        return self.config / CONFIG_NAME

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> "Paths":
        """``$QCHAT_HOME/{config,data,state,cache}``, else the platform's own (XDG) places."""
        home = environ.get("QCHAT_HOME")
        if home:
            root = Path(home).expanduser().absolute()
            return cls(root / "config", root / "data", root / "state", root / "cache")
        from platformdirs import PlatformDirs

        dirs = PlatformDirs("qchat", appauthor=False)
        return cls(
            dirs.user_config_path, dirs.user_data_path, dirs.user_state_path, dirs.user_cache_path
        )
