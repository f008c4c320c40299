"""Which requests a row takes: those of its answer, or those of its questions."""

from .answer_plan import AnswerPlan, MakePlan
from .engines.selection import EngineSelection
from .inputs.rows import RowDefaults
from .journal.sink import Sink
from .request import Request


def planner(defaults: RowDefaults, selection: EngineSelection, sink: Sink) -> MakePlan:
    """Return the function that makes the plan of each row of a run."""
    if defaults.questions is not None:
        from .questions.plan import make_question_plans

        return make_question_plans(can_continue=selection.continues)

    def make_plan(request: Request) -> AnswerPlan:
        earlier = sink.earlier(request.file, request.line)
        return AnswerPlan(request, selection.continues, earlier, defaults.form)

    return make_plan
