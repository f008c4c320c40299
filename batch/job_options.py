"""The options of the command line as a `BatchJob`."""

from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..html.file_names import check_report
from ..i18n import _
from ..sampling import Sampling
from ..settings import Settings
from .engines.selection import EngineRequest
from .evaluation.options import Evaluation
from .extraction import parse_extractions
from .form import AnswerForm, read_form
from .from_results import read_from
from .inputs.endpoints import parse_endpoint
from .inputs.images import ImageColumn
from .inputs.lines import check_encoding
from .inputs.row_defaults import RowDefaults
from .inputs.rows import taken_names
from .inputs.template import EmptyRule
from .inputs.template_options import TemplateOptions, row_template, system_template
from .job import BatchJob
from .journal.manifest import TABLE_ENDINGS
from .options.engine_options import EngineOptions
from .options.form_options import FormOptions
from .options.input_options import InputOptions
from .options.look_options import LookOptions
from .options.question_options import QuestionOptions
from .options.run_options import RunOptions
from .request import CHAT, COMPLETIONS
from .scheduler import RetryRule


def job_of(
    inputs: tuple[str, ...],
    settings: Settings,
    rows: InputOptions,
    engine: EngineOptions,
    system: str | None,
    sampling: Sampling,
    form: FormOptions,
    questions: QuestionOptions,
    run: RunOptions,
    look: LookOptions,
) -> BatchJob:
    """Build the job. Raises `UsageError` for options that contradict each other or name files that
    can't be read."""
    if look.report is not None:
        check_report(look.report)
    defaults = _row_defaults(
        rows, system, sampling, form, run, settings, asks=questions.ask is not None
    )
    defaults = replace(defaults, samples=questions.samples)
    if rows.from_results is not None:
        if inputs:
            raise UsageError(_("Give --from, or an INPUT, not both."))
        path, earlier = read_from(rows.from_results, rows.column, run.output)
        inputs, defaults = (str(path),), replace(defaults, earlier=earlier)
    elif rows.column is not None:
        raise UsageError(_("--column names the answers that --from takes; give that too."))
    if questions.ask is not None:
        defaults = _with_questions(defaults, questions)
    evaluation = _evaluation(questions, defaults)
    if evaluation.verify is not None and run.dedup:
        raise UsageError(_("--verify asks rows again, which --dedup does not; leave one out."))
    return BatchJob(
        inputs,
        run.output,
        defaults,
        _engine_request(engine, defaults.form, run.wait),
        limit=rows.limit,
        restart=run.restart,
        retry_failed=run.retry_failed,
        retry_where=run.retry_where,
        accept_changes=run.accept_changes,
        ordered=run.ordered,
        dedup=run.dedup,
        adopt=run.adopt,
        report=look.report,
        time_limit=run.time_limit,
        # An id that another run has made may be one that a row was given (`in-2~2` there).
        allow_duplicates=rows.allow_duplicates or defaults.earlier is not None,
        csv_safe=run.csv_safe,
        evaluation=evaluation,
        is_stage=defaults.earlier is not None,
        quiet=look.quiet,
        json=look.progress == "json",
        rule=RetryRule(wait=run.wait, rows_fail_alone=run.rows_fail_alone),
    )


def _row_defaults(
    rows: InputOptions,
    system: str | None,
    sampling: Sampling,
    form: FormOptions,
    run: RunOptions,
    settings: Settings,
    *,
    asks: bool,
) -> RowDefaults:
    check_encoding(rows.encoding)
    template = row_template(
        TemplateOptions(rows.template, rows.jinja, rows.template_file, rows.messages_template),
        may_be_fixed=asks or rows.image_column is not None or "{" in (system or ""),
    )
    to_table = run.output is not None and Path(run.output).suffix in TABLE_ENDINGS
    taken = taken_names(run.prefix, keep_prompt=rows.keep_prompt, to_table=to_table)
    defaults = RowDefaults(
        system=system,
        sampling=sampling.merged_over(Sampling(preset=settings.preset)),
        template=template,
        system_template=system_template(system, template),
        empty=EmptyRule(rows.empty),
        keep_prompt=rows.keep_prompt,
        prefix=run.prefix,
        encoding=rows.encoding,
        endpoint=parse_endpoint(rows.endpoint),
        drop_last_assistant=rows.drop_last_assistant,
        row_params=rows.row_params,
        images=ImageColumn.of_options(rows.image_column, rows.media_root),
        form=read_form(form.schema, form.choice, form.regex, any_json=form.json_answer),
        extract=parse_extractions(form.extract, taken),
        to_table=to_table,
    )
    if defaults.form is not None and defaults.endpoint not in (None, CHAT, COMPLETIONS):
        text = _("--schema, --choice, --regex and --json-answer are for chat and completions.")
        raise UsageError(text)
    return defaults


def _with_questions(defaults: RowDefaults, options: QuestionOptions) -> RowDefaults:
    """Return the defaults with the questions of `--ask`. Raises `UsageError`."""
    from .questions.definition import read_questions  # with Jinja2 and YAML

    assert options.ask is not None
    others = {
        _("--schema, --choice, --regex and --json-answer"): defaults.form is not None,
        "--extract": bool(defaults.extract),
        "--thinking": defaults.sampling.thinking is True,
        "--samples": options.samples > 1,
        "--endpoint": defaults.endpoint not in (None, CHAT),
    }
    for name, is_given in others.items():
        if is_given:
            text = _("--ask reads answers from one token's probabilities; leave out {option}.")
            raise UsageError(text.format(option=name))
    questions = read_questions(options.ask, swap=options.swap)
    if questions.template is not None and defaults.template is not None:
        text = _("{file} has a 'text', and the command line a template; leave one out.")
        raise UsageError(text.format(file=options.ask))
    if questions.system is not None and defaults.system is not None:
        text = _("{file} has a 'system' prompt, and the command line --system; leave one out.")
        raise UsageError(text.format(file=options.ask))
    system = questions.system
    return replace(
        defaults,
        questions=questions,
        template=defaults.template or questions.template,
        system=defaults.system if system is None else system.text,
        system_template=defaults.system_template if system is None else system,
        sampling=replace(defaults.sampling, thinking=False),
    )


def _evaluation(options: QuestionOptions, defaults: RowDefaults) -> Evaluation:
    """Return what is done with the answers. Raises `UsageError`."""
    if options.threshold is not None and options.ask is None:
        raise UsageError(_("--threshold needs probabilities, which --ask gives."))
    can_compare = defaults.form is not None and (defaults.form.choices or defaults.form.regex)
    if options.gold is not None and not (options.ask or can_compare or defaults.extract):
        text = _("--gold compares the answers of --ask, --choice, --regex or --extract; give one.")
        raise UsageError(text)
    if options.vote and not (can_compare or defaults.extract):
        raise UsageError(
            _("--vote counts the answers of --choice, --regex or --extract; give one.")
        )
    if options.vote and options.samples < 2:
        raise UsageError(_("--vote needs several answers to a row: give --samples N."))
    return Evaluation(
        options.threshold,
        None if options.review is None else Path(options.review),
        None if options.gold is None else Path(options.gold),
        options.key,
        options.vote,
        options.verify,
    )


def _engine_request(engine: EngineOptions, form: AnswerForm | None, wait: float) -> EngineRequest:
    return EngineRequest(
        engine.engine,
        engine.server,
        engine.base_urls,
        engine.api_key_env,
        engine.model,
        engine.concurrency,
        None if engine.servers_file is None else Path(engine.servers_file),
        engine.rpm,
        engine.tpm,
        (*(form.engine_args if form else ()), *_pairs(engine.engine_args)),
        low_priority=engine.low_priority,
        ray_address=engine.ray_address,
        replicas=engine.replicas,
        tensor_parallel_size=engine.tensor_parallel_size,
        wait=wait,
    )


def _pairs(items: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            text = _("--vllm {item}: expected NAME=VALUE, e.g. max_model_len=8192.")
            raise UsageError(text.format(item=item))
        pairs.append((name.strip().lstrip("-").replace("-", "_"), value))
    return tuple(pairs)
