"""The direction of the imports, checked on syntax trees; the rules are the tables below.

import-linter does not see through the `package-dir` mapping (folder `batch` is `qchat.batch`).
Imports for type checking count like any other.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
        "batch/engines/vllm_renderer.py",
        "qchat/engine/runtime/vllm_model.py",
        "qchat/engine/runtime/vllm_startup.py",
        "serve/launcher.py",
    }
)

RAY_ALLOWED = "batch/engines/ray/"

# Commands are loaded by name (the table of `cli.py`), so that `--help` imports none of them.
CLOSED = ("qchat.commands", "qchat.tui")
CLOSED_TO_ALL_BUT = ("qchat.__main__",)
OPEN = ("qchat.tui.markdown",)  # pure drawing, which `ask` does on a terminal, too

LONGEST = 400  # lines of a file


@dataclass(frozen=True)
class Layers:
    """The layers of a package, the lowest first, each with the parts (modules or folders) in it.

    A part imports its own layer and lower ones; where a layer is `apart`, its parts don't import
    each other but for the pairs `but` (importer, imported). Parts that no layer names belong to
    `rest`.
    """

    package: str
    layers: tuple[tuple[str, ...], ...]
    rest: int
    apart: tuple[int, ...] = ()
    but: tuple[tuple[str, str], ...] = ()

    def check(self, importer: str, imported: str) -> str | None:
        """What is wrong with an import between two modules; None where nothing is."""
        if not (self._has(importer) and self._has(imported)):
            return None
        (part, above), (other, below) = self._part(importer), self._part(imported)
        if part == other:
            return None
        if below > above:
            return f"{part} is below {other} in {self.package}"
        if below == above and below in self.apart and (part, other) not in self.but:
            return f"{part} and {other} are apart in {self.package}"
        return None

    def _has(self, module: str) -> bool:
        return module.startswith(f"{self.package}.") and not any(
            module.startswith(f"{room}.") or module == room
            for room in ROOMS.values()
            if room.startswith(f"{self.package}.")
        )

    def _part(self, module: str) -> tuple[str, int]:
        """The longest name in the table that the module is or is in, and its layer."""
        inside = module.removeprefix(f"{self.package}.")
        names = [
            (name, number)
            for number, layer in enumerate(self.layers)
            for name in layer
            if inside == name or inside.startswith(f"{name}.")
        ]
        return max(
            names, key=lambda one: len(one[0]), default=(inside.partition(".")[0], self.rest)
        )


QCHAT = Layers(
    "qchat",
    (
        (),  # the foundations: every module that is named nowhere below
        ("api", "engine", "store", "demo"),
        ("commands", "tui"),
        ("cli", "__main__"),
    ),
    rest=0,
    apart=(1, 2),
    but=(("engine", "demo"), ("commands", "tui")),  # of `tui` only what is `OPEN`
)

BATCH = Layers(
    "qchat.batch",
    (
        (
            *("request", "raw_response", "response", "quality", "form", "extraction", "background"),
            *("message_stream", "histogram", "poison", "run_logs", "patterns", "answer_schema"),
            "low_priority",
        ),
        ("inputs", "options", "questions"),
        ("journal", "engines"),
        ("scheduler", "runner"),  # and what they and `run` use: every module that is named nowhere
        ("run",),
        ("check",),
        ("command",),
        ("library",),
    ),
    rest=3,
    apart=(2,),
)

SERVE = Layers(
    "qchat.serve",
    (
        ("processes", "access"),
        ("planning", "registry"),
        ("batches",),
        ("supervision",),
        ("command", "launcher"),  # the commands: every module that is named nowhere
    ),
    rest=4,
    apart=(0, 1),
    but=(("access", "processes"),),
)

TUI = Layers(
    "qchat.tui",
    (
        # Pure drawing.
        (
            "markdown",
            *(
                f"transcript.{module}"
                for module in (
                    "answer_stats",
                    "find",
                    "heights",
                    "layout",
                    "message",
                    "pictures",
                    "selection",
                    "theme_palette",
                )
            ),
        ),
        # Widgets, and what they use: every module that is named nowhere.
        ("transcript", "composer", "actions", "screens", "servers", "widgets"),
        ("chat", "overlays", "quitting"),
        ("app", "parts", "action_handlers", "state_view"),
        ("command",),
    ),
    rest=1,
)

ENGINE = Layers(
    "qchat.engine",
    (("machine", "models"), ("recipes",), ("fit",), ("runtime",)),
    rest=3,
    apart=(0,),
)

LAYERS = (QCHAT, BATCH, SERVE, TUI, ENGINE)


def check(file: str, source: str) -> Iterator[str]:
    """Each broken rule of one file as a line for a person.

    `file` is the path from the repository's root with slashes; `source` its text.
    """
    room = PurePosixPath(file).parts[0]
    importer = module_name(file)
    package = importer if file.endswith("/__init__.py") else importer.rpartition(".")[0]
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
                if _is_in(target, closed):
                    yield f"{at}: import {target}: {room} never imports {closed}"
            for closed in CLOSED:
                outside = not _is_in(importer, closed) and importer not in CLOSED_TO_ALL_BUT
                is_open = any(_is_in(target, name) for name in OPEN)
                if _is_in(target, closed) and outside and not is_open:
                    yield f"{at}: import {target}: {closed} is loaded by name alone"
            for layers in LAYERS:
                if (problem := layers.check(importer, target)) is not None:
                    yield f"{at}: import {target}: {problem}"
            if root == "vllm" and file not in VLLM_ALLOWED:
                yield f"{at}: import {target}: vLLM is imported in its adapters alone"
            if level == 0 and root == "ray" and not file.startswith(RAY_ALLOWED):
                yield f"{at}: import {target}: Ray is imported in {RAY_ALLOWED} alone"


def check_tree(root: Path) -> list[str]:
    """Every broken rule in the rooms under `root`."""
    return [problem for file, source in _sources(root).items() for problem in check(file, source)]


def too_long(root: Path) -> list[str]:
    """The files of the rooms and of the tests with more than `LONGEST` lines."""
    lengths = {
        path.relative_to(root).as_posix(): path.read_text("utf-8").count("\n")
        for folder in (*ROOMS, "tests")
        for path in sorted((root / folder).rglob("*.py"))
    }
    return [f"{file}: {n} lines" for file, n in lengths.items() if n > LONGEST]


def circles(root: Path) -> list[list[str]]:
    """The circles of imports in the rooms under `root`: sets of modules that all reach each
    other."""
    return strong_components(import_graph(_sources(root)))


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports, of those in `sources` (text by file)."""
    modules = {module_name(file) for file in sources}
    graph: dict[str, set[str]] = {}
    for file, source in sources.items():
        importer = module_name(file)
        package = importer if file.endswith("/__init__.py") else importer.rpartition(".")[0]
        targets = graph.setdefault(importer, set())
        for node in ast.walk(ast.parse(source, file)):
            for level, module in _imported(node):
                target = _absolute(package, level, module)
                # `from .a import b` imports the module `a.b` or a name of the module `a`.
                target = target if target in modules else target.rpartition(".")[0]
                if target in modules and target != importer:
                    targets.add(target)
    return graph


def strong_components(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of two nodes or more (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                components.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return components


def module_name(file: str) -> str:
    """The import name of a file, such as qchat.batch.run for batch/run.py."""
    room, *parts = PurePosixPath(file).with_suffix("").parts
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join((ROOMS[room], *parts))


def _sources(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
    }


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


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
