"""The command line's values for the rows of a run."""

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...sampling import Sampling
from ..extraction import Extraction
from ..form import AnswerForm
from .earlier_answers import EarlierAnswers
from .images import ImageColumn
from .parameters import ParameterColumns
from .shapes import ShapeCounts
from .template import EmptyRule, RowTemplate

if TYPE_CHECKING:  # it needs Jinja2 and YAML, which few runs do
    from ..questions.definition import QuestionSet


class OwnModel(enum.Enum):
    """The type of a marker for "the model that each row names"."""

    PER_ROW = enum.auto()


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """The command line's values for every row; a row's own take precedence, except over `model`.

    With OwnModel.PER_ROW as `model`, each row's own model is asked, and `fallback_model` where it
    names none (`offered` are the models to choose from). With `row_params`, columns of the names of
    parameters are parameters; None means: unless there is a template. `columns` collects them.
    `images` are files that a column names. Answers must have the `form`, unless a row has one of
    its own; `extract` are columns of them. With `questions`, these are asked about each row. With
    `earlier`, lines are another run's results; with `to_table`, a table is made of all. Each row
    has `samples`, of which this is the one with the number `sample`, from 0. `text_cells` is set
    for an input whose cells know no types.
    """

    model: str | OwnModel = OwnModel.PER_ROW
    fallback_model: str | None = None
    offered: tuple[str, ...] = ()
    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    template: RowTemplate | None = None
    system_template: RowTemplate | None = None
    empty: EmptyRule = EmptyRule.ERROR
    keep_prompt: bool = False
    prefix: str = ""
    encoding: str = "utf-8"
    endpoint: str | None = None
    drop_last_assistant: bool = False
    shapes: ShapeCounts = field(default_factory=ShapeCounts, repr=False, compare=False)
    row_params: bool | None = None
    images: ImageColumn | None = None
    form: AnswerForm | None = None
    extract: tuple[Extraction, ...] = ()
    questions: "QuestionSet | None" = None
    earlier: EarlierAnswers | None = None
    to_table: bool = False
    samples: int = 1
    sample: int = 0
    text_cells: bool = False
    columns: ParameterColumns = field(default_factory=ParameterColumns, repr=False, compare=False)

    @property
    def takes_parameters(self) -> bool:
        """Whether columns of the names of parameters are parameters."""
        return self.template is None if self.row_params is None else self.row_params
