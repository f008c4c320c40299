"""The modules of the chat import each other in one direction, type-only imports included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imports(package: Path) -> dict[str, set[str]]:
    """The modules of a package, each with those of the package that it imports anywhere."""
    modules = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        parent = module if path.name == "__init__.py" else module.rpartition(".")[0]
        targets = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join(parent.split(".")[: len(parent.split(".")) - node.level + 1])
                base += f".{node.module}" if node.module else ""
                names = [f"{base}.{alias.name}" for alias in node.names]
                targets |= {name if name in modules else base for name in names}
        graph[module] = targets & modules.keys() - {module}
    return graph


def test_the_chat_has_no_circular_imports() -> None:
    graph = imports(ROOT / "qchat" / "tui")
    assert "qchat.tui.chat.conversation" in graph["qchat.tui.parts"]
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_only_the_command_imports_the_window() -> None:
    graph = imports(ROOT / "qchat" / "tui")
    importers = {module for module, targets in graph.items() if "qchat.tui.app" in targets}
    assert importers == {"qchat.tui.command"}
