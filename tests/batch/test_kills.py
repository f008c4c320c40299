"""kill -9 at every step of a rewrite, and at random moments while the input is edited."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.edits import storm

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("home")


def test_killed_at_any_step_a_rewrite_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "kills"
    folder.mkdir()
    line = [sys.executable, "-m", "tests.batch.kill_steps", str(folder)]
    done = subprocess.run(
        line, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["problems"] == []
    assert result["kills"] > 30


def test_kills_at_random_moments_while_the_input_is_edited() -> None:
    storm(random.Random(), rows=120, kills=4)
