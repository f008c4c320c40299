"""The process of the Batch API by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from qchat.serve.access.delegation import Delegation
from qchat.serve.batches.service_settings import ServiceSettings
from qchat.serve.planning.batch_options import BatchOptions

from qchat.errors import Exit
from tests.serve.supervised import LINUX

pytestmark = LINUX


@pytest.mark.parametrize("is_link", [True, False])
def test_a_place_of_the_socket_that_is_not_private(tmp_path: Path, is_link: bool) -> None:
    """Such as a link in /tmp, to a folder of the user's."""
    place = tmp_path / "place"
    if is_link:
        (tmp_path / "private").mkdir(mode=0o700)
        (tmp_path / "private" / "api.sock").write_text("not ours")
        place.symlink_to(tmp_path / "private")
    else:
        place.mkdir(mode=0o755)
    settings = ServiceSettings(
        name="demo",
        url="http://127.0.0.1:9",
        folder=tmp_path / "state",
        delegation=Delegation(str(place / "api.sock")),
        options=BatchOptions(),
        max_body_bytes=1000,
        endpoints=("/v1/chat/completions",),
    )
    done = subprocess.run(
        [sys.executable, "-m", "qchat.serve.batches.service"],
        input=settings.to_json(),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "QCHAT_HOME": str(tmp_path)},
    )
    assert done.returncode == Exit.ENGINE, done.stderr
    assert "is not private" in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in place.iterdir()] == (["api.sock"] if is_link else [])
