"""API keys that a person has typed: each in a file of its own that only the owner can read.

A key belongs to one base URL, to the letter, and is sent nowhere else. The file's name tells a
person the server; the digest in it tells apart what the name can't.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UsageError
from ..files import replace_file
from ..i18n import _
from ..settings import Paths, private_dir

_FOLDER = "keys"
_DIGEST = 12  # hexadecimal digits: 48 bits


def key_file(paths: Paths, base_url: str) -> Path:
    """Return where the key of a server is kept, whether there is one or not."""
    import hashlib  # slow to load: OpenSSL

    host = re.sub(r"[^a-z0-9.-]+", "_", urlsplit(base_url).netloc.lower())[:60]
    digest = hashlib.sha256(base_url.encode()).hexdigest()[:_DIGEST]
    return paths.config / _FOLDER / f"{host}-{digest}.key"


def stored_key_file(paths: Paths, base_url: str) -> Path | None:
    """Return the file of the key that was typed for a server, None where there is none."""
    if not (paths.config / _FOLDER).exists():
        return None
    file = key_file(paths, base_url)
    return file if file.exists() else None


def store_key(paths: Paths, base_url: str, key: str) -> Path:
    """Keep the key of a server in a file of mode 0600; return the file. Raises `UsageError`."""
    file = key_file(paths, base_url)
    private_dir(file.parent)
    try:
        file.parent.chmod(0o700)
        replace_file(file, f"{key}\n".encode(), 0o600)
    except OSError as e:
        text = _("Can't write {file}: {why}.").format(file=file, why=e.strerror)
        raise UsageError(text) from e
    return file


def forget_key(paths: Paths, base_url: str) -> bool:
    """Remove the key of a server; return whether there was one. Raises `UsageError`."""
    file = key_file(paths, base_url)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as e:
        text = _("Can't remove {file}: {why}.").format(file=file, why=e.strerror)
        raise UsageError(text) from e
    return True
