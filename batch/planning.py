"""Which requests a row takes: those of its answer, or those of its questions."""

from collections.abc import Iterator

from ..i18n import _, plural
from .answer_plan import AnswerPlan, MakePlan
from .engines.selection import EngineSelection
from .inputs.row_defaults import RowDefaults
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


def notes(defaults: RowDefaults) -> Iterator[str]:
    """Yield what a person should know of the requests of a run before they are sent."""
    if defaults.earlier is not None:
        yield from defaults.earlier.notes()
    if (asked := defaults.questions) is not None:
        n = asked.requests_per_row
        text = plural(
            "At least {n} request of one token a row{swap}; more where options are not among the "
            "likeliest tokens.",
            "At least {n} requests of one token a row{swap}; more where options are not among the "
            "likeliest tokens.",
            n,
        )
        swap = _(" (each question in both orders of its options; --no-swap halves that)")
        yield text.format(n=n, swap=swap if asked.swap else "")
    sampling = defaults.sampling.effective()
    if defaults.samples > 1 and sampling.temperature == 0 and sampling.seed is None:
        yield _("All samples of a row will be the same: give a --temperature above 0.")
