"""The Batch API in its long form: 200 kills of all of its parts, each row once (`make soak`).

`make test` runs the same in short (tests/serve/batches/test_restarts.py).
"""

import os
from pathlib import Path

import pytest

from tests.serve.batches import kill_storm

pytestmark = pytest.mark.timeout(7200)
KILLS = int(os.environ.get("QCHAT_SOAK_BATCH_KILLS", "200"))


def test_kills_at_random_moments(tmp_path: Path) -> None:
    kill_storm.run(tmp_path / "s", KILLS)
