"""Broken files of every kind, in short; `make soak` has ten thousand."""

import random
from pathlib import Path

import pytest

from tests.batch.echo import echoing
from tests.batch.fuzz import check_resume, check_run


@pytest.mark.parametrize("check", [check_run, check_resume])
def test_broken_files(home: Path, check: object) -> None:
    assert callable(check)
    start = random.randrange(1 << 30)
    with echoing():
        for seed in range(start, start + 150):
            folder = home / str(seed)
            folder.mkdir()
            try:
                check(folder, random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
