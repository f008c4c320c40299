"""The rooms import each other in one direction only."""

from pathlib import Path

import pytest

from .layers import check, check_tree

ROOT = Path(__file__).parent.parent


def test_the_rooms() -> None:
    assert check_tree(ROOT) == []


def test_every_room_is_looked_at() -> None:
    for room in ("qchat", "batch", "serve"):
        assert list((ROOT / room).rglob("*.py")), room


@pytest.mark.parametrize(
    ("file", "source", "words"),
    [
        ("qchat/a.py", "from .batch import run", "qchat never imports qchat.batch"),
        ("qchat/a.py", "from . import serve", "qchat never imports qchat.serve"),
        ("qchat/demo/a.py", "from ..batch.run import x", "qchat never imports qchat.batch"),
        ("qchat/a.py", "def f():\n    from .serve import x", "a.py:2: "),
        ("qchat/a.py", "import importlib\nimportlib.import_module('qchat.batch')", "never imports"),
        ("batch/a.py", "from ..serve import x", "batch never imports qchat.serve"),
        ("batch/a.py", "from .. import serve", "batch never imports qchat.serve"),
        ("serve/a.py", "from ..batch import x", "serve never imports qchat.batch"),
        ("serve/deploy/a.py", "from ...batch import x", "serve never imports qchat.batch"),
        ("batch/a.py", "from qchat.errors import Code", "relative"),
        ("batch/a.py", "import qchat.errors", "relative"),
        ("batch/a.py", "import batch.run", "qchat.batch.run"),
        ("batch/run.py", "import vllm", "adapters alone"),
        ("serve/a.py", "from vllm.entrypoints import x", "adapters alone"),
    ],
)
def test_a_bad_import_is_found(file: str, source: str, words: str) -> None:
    problems = list(check(file, source))
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("qchat/a.py", "from .errors import Code\nfrom . import wire\nimport json"),
        ("qchat/demo/a.py", "from ..i18n import _"),
        ("batch/a.py", "from ..errors import Code\nfrom .run import x\nfrom .. import settings"),
        ("serve/deploy/a.py", "from ...errors import Code\nfrom ..launcher import x"),
        ("batch/engines/vllm_adapter.py", "import vllm\nfrom vllm.v1 import engine"),
        ("qchat/a.py", "batch = 1\nx = 'qchat.batch.command:batch'"),
        ("qchat/a.py", "import vllm_thing"),
    ],
)
def test_a_good_import_is_not(file: str, source: str) -> None:
    assert list(check(file, source)) == []


def test_a_bad_tree_fails(tmp_path: Path) -> None:
    for room in ("qchat", "batch", "serve"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "fine.py").write_text("import json\n")
    (tmp_path / "qchat" / "bad.py").write_text("from .batch import run\n")
    assert check_tree(tmp_path) == [
        "qchat/bad.py:1: import qchat.batch.run: qchat never imports qchat.batch"
    ]
