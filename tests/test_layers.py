"""The modules import each other in one direction only."""

from pathlib import Path

import pytest

from .layers import Layers, check, check_tree, circles, import_graph, strong_components, too_long

ROOT = Path(__file__).parent.parent


def test_the_tree() -> None:
    assert check_tree(ROOT) == []


def test_no_circle_of_imports() -> None:
    assert circles(ROOT) == []


def test_no_file_is_too_long() -> None:
    assert too_long(ROOT) == []


def test_every_room_is_looked_at() -> None:
    for room in ("qchat", "batch", "serve"):
        assert list((ROOT / room).rglob("*.py")), room


@pytest.mark.parametrize(
    ("file", "source", "message"),
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
        ("batch/engines/selection.py", "import ray", "batch/engines/ray/ alone"),
        ("serve/a.py", "def f():\n    from ray.util import x", "batch/engines/ray/ alone"),
        ("qchat/files.py", "from .store import open_store", "files is below store"),
        ("qchat/new.py", "from . import api", "new is below api"),
        ("qchat/a.py", "if TYPE_CHECKING:\n    from .api.client import Client", "is below api"),
        ("qchat/store/__init__.py", "from ..tui import app", "store is below tui"),
        ("qchat/store/a.py", "from ..api.client import Client", "store and api are apart"),
        ("qchat/demo/a.py", "from ..engine import fit", "demo and engine are apart"),
        ("qchat/tui/a.py", "from ..commands.ask import ask", "tui and commands are apart"),
        ("qchat/cli.py", "from .commands.ask import ask", "loaded by name alone"),
        ("serve/a.py", "from ..tui.app import ChatApp", "loaded by name alone"),
        ("batch/inputs/a.py", "from ..journal import journal", "inputs is below journal"),
        ("batch/journal/a.py", "from ..engines import http", "journal and engines are apart"),
        ("batch/engines/a.py", "from ..scheduler import x", "engines is below scheduler"),
        ("qchat/tui/markdown/a.py", "from ..transcript import transcript", "markdown is below"),
        ("qchat/tui/transcript/layout.py", "from .transcript import x", "layout is below"),
        ("qchat/tui/composer/a.py", "from ..chat.conversation import x", "composer is below chat"),
        ("qchat/tui/chat/a.py", "if TYPE_CHECKING:\n    from ..app import x", "chat is below app"),
    ],
)
def test_a_bad_import_is_reported(file: str, source: str, message: str) -> None:
    problems = list(check(file, source))
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("qchat/a.py", "from .errors import Code\nfrom . import wire\nimport json"),
        ("qchat/demo/a.py", "from ..i18n import _"),
        ("qchat/engine/a.py", "from .. import demo\nfrom ..demo.train import x"),
        ("qchat/tui/chat/a.py", "from ...store import Store\nfrom ..composer import x"),
        ("qchat/store/__init__.py", "from .store import Store\nfrom ..errors import Code"),
        ("qchat/__main__.py", "from .commands import completion\nfrom .cli import run"),
        (
            "batch/a.py",
            "from ..errors import Code\nfrom .request import x\nfrom .. import settings",
        ),
        ("serve/deploy/a.py", "from ...errors import Code\nfrom ..launcher import x"),
        ("batch/engines/vllm_adapter.py", "import vllm\nfrom vllm.v1 import engine"),
        ("qchat/a.py", "batch = 1\nx = 'qchat.batch.command:batch'"),
        ("qchat/a.py", "import vllm_thing"),
    ],
)
def test_a_good_import_is_not(file: str, source: str) -> None:
    assert list(check(file, source)) == []


def test_the_longest_name_in_the_table_decides() -> None:
    layers = Layers("qchat.tui", (("transcript.layout",), ("transcript",), ("app",)), rest=1)
    bad = layers.check("qchat.tui.transcript.layout", "qchat.tui.transcript.view")
    assert bad == "transcript.layout is below transcript in qchat.tui"
    assert layers.check("qchat.tui.transcript.view", "qchat.tui.transcript.layout") is None
    assert layers.check("qchat.tui.other", "qchat.tui.app") == "other is below app in qchat.tui"
    assert layers.check("qchat.tui.other", "qchat.errors") is None


def test_a_circle_is_found_behind_a_type_and_through_a_package() -> None:
    sources = {
        "qchat/a.py": "if TYPE_CHECKING:\n    from .b import B",
        "qchat/b/__init__.py": "from .inner import B",
        "qchat/b/inner.py": "def f():\n    from ..c import x",
        "qchat/c.py": "from . import a, d",
        "qchat/d.py": "import json",
    }
    circle = ["qchat.a", "qchat.b", "qchat.b.inner", "qchat.c"]
    assert strong_components(import_graph(sources)) == [circle]
    assert strong_components({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a", "b"}}) == []


def test_a_bad_tree_fails(tmp_path: Path) -> None:
    for room in ("qchat", "batch", "serve"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "fine.py").write_text("import json\n")
    (tmp_path / "qchat" / "bad.py").write_text("from .batch import run\n")
    (tmp_path / "qchat" / "long.py").write_text("\n" * 401)
    assert check_tree(tmp_path) == [
        "qchat/bad.py:1: import qchat.batch.run: qchat never imports qchat.batch"
    ]
    assert too_long(tmp_path) == ["qchat/long.py: 401 lines"]
