"""The questions of a run, read from a YAML file: `--ask questions.yaml`.

The file is read as a tree of nodes, so that every message can name its line, and so that options
are as they are written: ``[yes, no]`` are two words, not two truth values.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ...errors import UsageError
from ...i18n import _, plural
from ...json_types import JsonObject
from ..inputs.jinja_template import JinjaTemplate
from ..inputs.template_options import read_template_file
from .types import COLUMN_ENDINGS, LABELS, QuestionType

INSTRUCTION = "Answer with the letter of one option only."

_RESERVED = frozenset({"usage", "model", "_qchat", "error", "prompt", "custom_id"})
_FILE_KEYS = ("system", "text", "instruction", "questions")
_QUESTION_KEYS = ("name", "type", "ask", "options", "range")


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `options` are what may be answered, for a score the numbers as text."""

    name: str
    type: QuestionType
    ask: JinjaTemplate
    options: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that its answer adds."""
        return tuple(self.name + ending for ending in COLUMN_ENDINGS)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All questions of a run, and the templates of what they are about.

    `template` and `system` are None where the file has none. With `swap`, each question is asked
    with its options in both orders. `identity` is all that a request depends on, as JSON.
    """

    questions: tuple[Question, ...]
    template: JinjaTemplate | None = None
    system: JinjaTemplate | None = None
    instruction: str = INSTRUCTION
    swap: bool = True
    columns: frozenset[str] = field(default=frozenset(), repr=False)
    cells: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The names of the columns that all answers add."""
        return tuple(name for question in self.questions for name in question.columns)

    @property
    def requests_per_row(self) -> int:
        """How many requests a row takes, where the first reading of each is enough."""
        return len(self.questions) * (2 if self.swap else 1)

    @property
    def identity(self) -> JsonObject:
        """All that the questions' requests depend on, but for the row."""
        return {
            "questions": [
                {
                    "name": question.name,
                    "type": str(question.type),
                    "ask": question.ask.text,
                    "options": list(question.options),
                }
                for question in self.questions
            ],
            "instruction": self.instruction,
            "swap": self.swap,
        }

    def body(self, row: Mapping[str, Any]) -> JsonObject:
        """Return what a row's request body holds of the questions. Raises `BadLineError`."""
        questions = [
            {**entry, "ask": question.ask.fill(row)}
            for entry, question in zip(self.identity["questions"], self.questions, strict=True)
        ]
        return {"questions": questions, "instruction": self.instruction, "swap": self.swap}


def read_questions(path: str, *, swap: bool = True) -> QuestionSet:
    """Read a file of questions. Raises `UsageError` with the file and the line."""
    return parse_questions(read_template_file(path), path, swap=swap)


def parse_questions(text: str, path: str, *, swap: bool = True) -> QuestionSet:
    """Parse the text of a file of questions, called `path` in messages. Raises `UsageError`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = (
            path if mark is None else _("{file}, line {line}").format(file=path, line=mark.line + 1)
        )
        reason = getattr(error, "problem", None) or " ".join(str(error).split())[:300]
        text = _("{place}: this is not YAML: {reason} (a text with ?, : or a comma needs quotes).")
        raise UsageError(text.format(place=place, reason=reason)) from None
    return _Reader(path).question_set(root, swap=swap)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads nodes of YAML as questions; `path` is the file, for messages."""

    path: str

    def error(self, node: yaml.Node | None, message: str) -> UsageError:
        """Return an error with the place of a node."""
        line = 1 if node is None else node.start_mark.line + 1
        text = _("{file}, line {line}: {message}.")
        return UsageError(text.format(file=self.path, line=line, message=message))

    def question_set(self, root: yaml.Node | None, *, swap: bool) -> QuestionSet:
        """Return the whole file's questions."""
        entries = self.mapping(root, _FILE_KEYS)
        if "questions" not in entries:
            raise self.error(root, _("'questions' is missing: a list with at least one question"))
        items = self.items(entries["questions"], "questions")
        if not items:
            raise self.error(entries["questions"], _("'questions' has no question"))
        questions = tuple(map(self.question, items))
        self.check_names(questions, items)
        templates = {
            key: self.template(entries[key], key) for key in ("system", "text") if key in entries
        }
        template, system = templates.get("text"), templates.get("system")
        asked = [question.ask for question in questions]
        asked += [system] if system is not None else []
        return QuestionSet(
            questions,
            template,
            system,
            self.text(entries["instruction"], "instruction")
            if "instruction" in entries
            else INSTRUCTION,
            swap,
            frozenset().union(*(one.columns for one in asked)),
            frozenset().union(*(one.cells for one in asked)),
        )

    def question(self, node: yaml.Node) -> Question:
        """Return one question."""
        entries = self.mapping(node, _QUESTION_KEYS)
        for key in ("name", "type", "ask"):
            if key not in entries:
                raise self.error(node, _("the question has no '{key}'").format(key=key))
        name = self.text(entries["name"], "name")
        kind = self.text(entries["type"], "type")
        if kind not in list(QuestionType):
            text = _("'type' is '{kind}'; it must be one of {names}")
            names = ", ".join(QuestionType)
            raise self.error(entries["type"], text.format(kind=kind, names=names))
        ask = self.template(entries["ask"], "ask")
        return Question(
            name, QuestionType(kind), ask, self.options(QuestionType(kind), entries, node)
        )

    def options(
        self, kind: QuestionType, entries: Mapping[str, yaml.Node], node: yaml.Node
    ) -> tuple[str, ...]:
        """Return the options of a question, by its type."""
        needed = {QuestionType.CHOICE: "options", QuestionType.SCORE: "range"}.get(kind)
        for key in ("options", "range"):
            if key in entries and key != needed:
                text = _("a question of type {kind} has no '{key}'")
                raise self.error(entries[key], text.format(kind=kind, key=key))
        if needed is None:
            return ("yes", "no")
        if needed not in entries:
            text = _("a question of type {kind} needs '{key}'")
            raise self.error(node, text.format(kind=kind, key=needed))
        where = entries[needed]
        texts = [self.text(item, needed) for item in self.items(where, needed)]
        options = tuple(texts) if kind is QuestionType.CHOICE else self.numbers(where, texts)
        if len(set(options)) < len(options):
            raise self.error(where, _("two options are the same"))
        if not 2 <= len(options) <= len(LABELS):
            raise self.number_of_options(where, len(options))
        return options

    def numbers(self, node: yaml.Node, texts: Sequence[str]) -> tuple[str, ...]:
        """Return the whole numbers of a range, both ends included."""
        try:
            low, high = map(int, texts)
        except ValueError:
            raise self.error(node, _("'range' must be two whole numbers, as in [1, 5]")) from None
        if high <= low:
            text = _("'range' is [{low}, {high}]; the lower end comes first, as in [1, 5]")
            raise self.error(node, text.format(low=low, high=high))
        if high - low >= len(LABELS):
            raise self.number_of_options(node, high - low + 1)
        return tuple(map(str, range(low, high + 1)))

    def number_of_options(self, node: yaml.Node, n: int) -> UsageError:
        """Return an error for a question with too few or too many options."""
        text = plural(
            "{n} option; a question has 2 to {most}", "{n} options; a question has 2 to {most}", n
        )
        return self.error(node, text.format(n=n, most=len(LABELS)))

    def check_names(self, questions: Sequence[Question], nodes: Sequence[yaml.Node]) -> None:
        """Raise `UsageError` for two columns of one name."""
        owners: dict[str, str] = {}
        for question, node in zip(questions, nodes, strict=True):
            for column in question.columns:
                if column in owners and owners[column] == question.name:
                    text = _("two questions are called '{name}'")
                    raise self.error(node, text.format(name=question.name))
                if column in owners or column in _RESERVED:
                    other = owners.get(column, _("qchat itself"))
                    text = _("the question '{name}' adds the column '{column}', as '{other}' does")
                    text = text.format(name=question.name, column=column, other=other)
                    raise self.error(node, text)
                owners[column] = question.name

    def template(self, node: yaml.Node, key: str) -> JinjaTemplate:
        """Return a text as a template."""
        place = _("{file}, line {line}: '{key}'").format(
            file=self.path, line=node.start_mark.line + 1, key=key
        )
        return JinjaTemplate.parse(self.text(node, key), place)

    def mapping(self, node: yaml.Node | None, keys: Sequence[str]) -> dict[str, yaml.Node]:
        """Return the entries of a mapping with these keys."""
        if not isinstance(node, yaml.MappingNode):
            text = _("this must be a mapping with {names}")
            raise self.error(node, text.format(names=", ".join(f"'{key}'" for key in keys)))
        entries: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.text(key_node, _("a key"))
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = _(" (did you mean '{name}'?)").format(name=near[0]) if near else ""
                text = _("there is no '{key}' here{hint}; keys are {names}")
                names = ", ".join(keys)
                raise self.error(key_node, text.format(key=key, hint=hint, names=names))
            if key in entries:
                raise self.error(key_node, _("'{key}' stands here twice").format(key=key))
            entries[key] = value
        return entries

    def items(self, node: yaml.Node, key: str) -> list[yaml.Node]:
        """Return the items of a list."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(node, _("'{key}' must be a list").format(key=key))
        return list(node.value)

    def text(self, node: yaml.Node, key: str) -> str:
        """Return a scalar as it is written; it can't be empty."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, _("'{key}' must be a text").format(key=key))
        value = str(node.value)
        if not value.strip():
            raise self.error(node, _("'{key}' is empty").format(key=key))
        return value
