"""The names of vLLM that qchat uses, and where each version of vLLM has them.

vLLM declares none of them stable, and moves them about once a quarter. `ENTRY_POINTS` is the table:
a row is a name with the modules that have or had it, the newest first. `load` imports a name from
the first module that has it. `missing` looks for all names in vLLM's source, without importing
anything: it checks a version that nobody has run yet, and the source in a wheel.

A new version of vLLM is added here; docs/vllm-versions.md says how.
"""

import ast
import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...i18n import _


class Use(StrEnum):
    """What qchat does with vLLM: run its server, or run it in a process of `qchat batch`."""

    SERVE = "serve"
    OFFLINE = "offline"


_BOTH = frozenset(Use)
_SERVE = frozenset({Use.SERVE})
_OFFLINE = frozenset({Use.OFFLINE})


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A name of vLLM, such as ``run_server``, and the modules that have it, the newest first.

    `members` are the attributes of a class that are used, `parameters` those of a function that
    are passed.
    """

    name: str
    modules: tuple[str, ...]
    uses: frozenset[Use]
    members: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.modules[0]}.{self.name}"


_CLI = (
    "vllm.entrypoints.common.cli_args",  # 0.33
    "vllm.entrypoints.launchers.cli_args",  # 0.29
    "vllm.entrypoints.openai.cli_args",
)

_TABLE = (
    EntryPoint("make_arg_parser", _CLI, _BOTH, parameters=("parser",)),
    EntryPoint("validate_parsed_serve_args", _CLI, _BOTH, parameters=("args",)),
    EntryPoint("FlexibleArgumentParser", ("vllm.utils.argparse_utils",), _BOTH),
    EntryPoint("get_tokenizer", ("vllm.tokenizers",), _BOTH),
    EntryPoint("get_config", ("vllm.transformers_utils.config",), _BOTH),
    EntryPoint(
        "cli_env_setup",
        (
            "vllm.entrypoints.common.startup",  # 0.33
            "vllm.entrypoints.serve.utils.api_utils",
        ),
        _SERVE,
    ),
    EntryPoint(
        "run_server",
        (
            "vllm.entrypoints.launchers.api_server.entry",  # 0.29
            "vllm.entrypoints.openai.api_server",
        ),
        _SERVE,
        parameters=("args", "http"),
    ),
    EntryPoint(  # replaced in the module of `run_server`, for a socket that is inherited
        "setup_server",
        (
            "vllm.entrypoints.launchers.api_server.entry",  # 0.29
            "vllm.entrypoints.openai.api_server",
        ),
        _SERVE,
    ),
    EntryPoint("ReasoningParserManager", ("vllm.reasoning",), _BOTH),
    EntryPoint("ToolParserManager", ("vllm.tool_parsers",), _BOTH),
    EntryPoint(
        "init_app_state",
        (
            "vllm.entrypoints.launchers.api_server.app_state",  # 0.29
            "vllm.entrypoints.openai.api_server",
        ),
        _OFFLINE,
        parameters=("engine_client", "state", "args", "supported_tasks"),
    ),
    EntryPoint(
        "build_app",
        (
            "vllm.entrypoints.launchers.app",  # 0.32
            "vllm.entrypoints.launchers.api_server.entry",  # 0.29
            "vllm.entrypoints.openai.api_server",
        ),
        _OFFLINE,
        parameters=("args",),
    ),
    EntryPoint(
        "AsyncEngineArgs",
        ("vllm.engine.arg_utils",),
        _OFFLINE,
        members=("from_cli_args", "create_engine_config"),
    ),
    # For `--check` alone, which does without where one is missing.
    EntryPoint("VllmConfig", ("vllm.config",), frozenset()),
    EntryPoint(
        "init_render_app_state",
        (
            "vllm.entrypoints.launchers.render.app_state",  # 0.29
            "vllm.entrypoints.openai.api_server",
        ),
        frozenset(),
    ),
    EntryPoint("ResponsesRequest", ("vllm.entrypoints.openai.responses.protocol",), frozenset()),
    EntryPoint("UsageContext", ("vllm.usage.usage_lib",), _OFFLINE, members=("LLM_CLASS",)),
    EntryPoint(
        "AsyncLLM",
        ("vllm.v1.engine.async_llm",),
        _OFFLINE,
        members=("from_vllm_config", "get_supported_tasks", "errored", "shutdown"),
    ),
    EntryPoint(
        "ChatCompletionRequest", ("vllm.entrypoints.openai.chat_completion.protocol",), _OFFLINE
    ),
    EntryPoint("CompletionRequest", ("vllm.entrypoints.openai.completion.protocol",), _OFFLINE),
    EntryPoint(
        "OpenAIServingChat",
        ("vllm.entrypoints.openai.chat_completion.serving",),
        _OFFLINE,
        members=("create_chat_completion",),
    ),
    EntryPoint(
        "OpenAIServingCompletion",
        ("vllm.entrypoints.openai.completion.serving",),
        _OFFLINE,
        members=("create_completion",),
    ),
    EntryPoint(
        "ErrorResponse",
        (
            "vllm.entrypoints.serve.engine.protocol",  # 0.29
            "vllm.entrypoints.openai.engine.protocol",
        ),
        _OFFLINE,
    ),
    EntryPoint(
        "create_error_response",
        (
            "vllm.entrypoints.serve",  # 0.28
            "vllm.entrypoints.serve.utils.error_response",
        ),
        _OFFLINE,
    ),
    EntryPoint("EngineDeadError", ("vllm.v1.engine.exceptions",), _OFFLINE),
    EntryPoint("EngineGenerateError", ("vllm.v1.engine.exceptions",), _OFFLINE),
)

ENTRY_POINTS = {entry.name: entry for entry in _TABLE}

FRONT_END = (
    *("AsyncEngineArgs", "init_app_state", "make_arg_parser", "AsyncLLM"),
    *("OpenAIServingChat", "OpenAIServingCompletion"),
)
"""The names whose modules are the front-end process's share of vLLM."""


class MissingEntryPointError(EngineError):
    """This vLLM lacks a name that qchat uses."""


@functools.cache  # a place that a version does not have is looked for at each import
def load(name: str) -> Any:
    """Import a name of the table.

    Raises `MissingEntryPointError`, and ImportError where a module has it but can't be imported.
    """
    entry = ENTRY_POINTS[name]
    for module in entry.modules:
        try:
            value = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and imports one that is not
            continue
        if value is not None:
            return value
    text = _("This vLLM has no {name}, which qchat uses.")
    raise MissingEntryPointError(text.format(name=entry))


def load_front_end() -> None:
    """Import vLLM's front end, as far as this version has it: what is missing is reported where it
    is needed."""
    for name in FRONT_END:
        with contextlib.suppress(MissingEntryPointError, ImportError):
            load(name)


def source_folder() -> Path | None:
    """The folder of the installed package `vllm`; imports nothing."""
    try:
        spec = importlib.util.find_spec("vllm")
    except ValueError:  # something else was imported under this name
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def missing(use: Use, folder: Path) -> tuple[str, ...]:
    """What `use` needs of vLLM and its source in `folder` does not have: a phrase for each.

    A name counts as there if one of its modules defines or imports it at its top level, with all
    the members and parameters of the table.
    """
    modules = _Modules(folder)
    problems = (_problem(entry, modules) for entry in _TABLE if use in entry.uses)
    return tuple(problem for problem in problems if problem is not None)


def _problem(entry: EntryPoint, modules: "_Modules") -> str | None:
    for module in entry.modules:
        node = modules.definition(module, entry.name)
        if node is None:
            continue
        for member in entry.members:
            if isinstance(node, ast.ClassDef) and not modules.has_member(module, node, member):
                return f"{module}.{entry.name}.{member}"
        parameters = _parameters(node)
        for parameter in entry.parameters:
            if parameters is not None and parameter not in parameters:
                text = _("{name} with the parameter {parameter}")
                return text.format(name=f"{module}.{entry.name}", parameter=parameter)
        return None
    return str(entry)


def _parameters(node: ast.AST) -> set[str] | None:
    """The names of a function's parameters; None for one that takes any, and for what is no
    function."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.args.kwarg:
        return None
    arguments = node.args
    return {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


class _Modules:
    """The syntax trees of a package, each parsed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._definitions: dict[str, dict[str, ast.AST]] = {}

    def definition(self, module: str, name: str) -> ast.AST | None:
        """What defines or imports `name` at the top level of `module`; None without either."""
        if module not in self._definitions:
            self._definitions[module] = dict(_definitions(self._parse(module)))
        return self._definitions[module].get(name)

    def has_member(self, module: str, node: ast.ClassDef, member: str) -> bool:
        """Whether a class, or a class of the same module that it inherits from, has `member`."""
        if member in dict(_definitions(node.body)):
            return True
        names = [base.id for base in node.bases if isinstance(base, ast.Name)]
        bases = (self.definition(module, name) for name in names)
        return any(
            isinstance(base, ast.ClassDef) and self.has_member(module, base, member)
            for base in bases
        )

    def _parse(self, module: str) -> list[ast.stmt]:
        path = self._folder.joinpath(*module.split(".")[1:])
        for file in (path / "__init__.py", path.with_suffix(".py")):
            try:
                return ast.parse(file.read_bytes(), str(file)).body
            except (OSError, SyntaxError, ValueError):
                continue
        return []


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """The names that statements bind, those under an `if` or a `try` too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.If):
            yield from _definitions(node.body)
            yield from _definitions(node.orelse)
        elif isinstance(node, ast.Try):
            yield from _definitions(node.body)
            for handler in node.handlers:
                yield from _definitions(handler.body)
