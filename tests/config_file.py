"""A config.toml for a test."""

from pathlib import Path


def write_config(home: Path, text: str | bytes) -> Path:
    """Write `text` as the config.toml under the QCHAT_HOME `home`, and return its path."""
    file = home / "config" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file
