"""How sure the model was: the questions of `--ask`, and the labels against those of a person."""

from ...html.charts import Bar, Tick, bar_chart
from ...html.markup import Html, join, tag
from ...i18n import _
from .figures import count_table
from .questions import BINS, QuestionSummary
from .reading import RunReport
from .rows import sample_row


def probabilities(report: RunReport, limit: int) -> Html:
    """Return the section, '' where the results have no probabilities."""
    questions = report.columns.questions
    if not questions:
        return Html("")
    parts = [tag("h2", _("Probabilities")), *map(_question, questions.values())]
    least = list(report.unsure)
    if least:
        rows = [sample_row(sample, limit) for _value, sample in least]
        parts.append(tag("details", tag("summary", _("The least sure rows")), rows))
    return join(parts)


def _question(question: QuestionSummary) -> Html:
    text = _("{rows:,} rows, {sure:.0%} sure on average")
    line = text.format(rows=question.rows, sure=question.sure / question.rows)
    if question.masses:
        text = _("{mass:.1%} of the model's belief lay on the options")
        line += "; " + text.format(mass=question.mass / question.masses)
    bars = []
    for number, n in enumerate(question.bins):
        low, high = number / BINS, (number + 1) / BINS
        title = _("{low:.2f} to {high:.2f}: {n:,} rows").format(low=low, high=high, n=n)
        bars.append(Bar(low, high, n, title))
    ticks = [Tick(at, f"{at:g}") for at in (0.0, 0.25, 0.5, 0.75, 1.0)]
    label = _("Probability of the likeliest option")
    chart = tag("div", tag("p", label, class_="soft"), bar_chart(bars, ticks, label))
    table = tag("div", count_table(question.labels))
    return join(
        [
            tag("h3", question.name),
            tag("p", line, class_="soft"),
            tag("div", chart, table, class_="two"),
        ]
    )
