"""The one direction between the rooms, checked on syntax trees.

import-linter does not see through the `package-dir` mapping (folder `batch` is `qchat.batch`).
"""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOMS = {"qchat": "qchat", "batch": "qchat.batch", "serve": "qchat.serve"}
FORBIDDEN = {
    "qchat": ("qchat.batch", "qchat.serve"),
    "batch": ("qchat.serve",),
    "serve": ("qchat.batch",),
}
VLLM_ALLOWED = frozenset(
    {
        "batch/engines/vllm_adapter.py",
        "qchat/engine/vllm_model.py",
        "qchat/engine/vllm_startup.py",
        "serve/launcher.py",
    }
)


def check(file: str, source: str) -> Iterator[str]:
    """Each broken rule of one file as a line for a person.

    `file` is the path from the repository's root with slashes; `source` its text.
    """
    room = PurePosixPath(file).parts[0]
    package = ".".join((ROOMS[room], *PurePosixPath(file).parts[1:-1]))
    for node in ast.walk(ast.parse(source, file)):
        for level, module in _imported(node):
            at = f"{file}:{getattr(node, 'lineno', 0)}"
            target = _absolute(package, level, module)
            root = target.partition(".")[0]
            if level == 0 and root in ("batch", "serve"):
                yield f"{at}: import {target}: the import name is qchat.{target}"
            if level == 0 and root == "qchat":
                yield f"{at}: import {target}: imports inside a folder are relative"
            for closed in FORBIDDEN[room]:
                if target == closed or target.startswith(f"{closed}."):
                    yield f"{at}: import {target}: {room} never imports {closed}"
            if root == "vllm" and file not in VLLM_ALLOWED:
                yield f"{at}: import {target}: vLLM is imported in its adapters alone"


def check_tree(root: Path) -> list[str]:
    """Every broken rule in the rooms under `root`."""
    return [
        problem
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
        for problem in check(path.relative_to(root).as_posix(), path.read_text("utf-8"))
    ]


def _imported(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Modules that a node imports: (level, dotted name), also through importlib."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        # `from .. import batch` imports a module, too.
        for alias in node.names:
            yield node.level, f"{node.module}.{alias.name}" if node.module else alias.name
    elif isinstance(node, ast.Call) and node.args:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        first = node.args[0]
        literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
        if name in ("import_module", "__import__") and literal:
            assert isinstance(first, ast.Constant)
            text = str(first.value)
            yield len(text) - len(text.lstrip(".")), text.lstrip(".")


def _absolute(package: str, level: int, module: str) -> str:
    if level == 0:
        return module
    parts = package.split(".")
    return ".".join((*parts[: len(parts) - level + 1], module))
