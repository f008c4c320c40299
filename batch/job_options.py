"""The options of the command line as a `BatchJob`."""

from pathlib import Path

from ..errors import UsageError
from ..i18n import _
from ..sampling import Sampling
from ..settings import Settings
from .engines.selection import EngineRequest
from .extraction import Extraction
from .form import AnswerForm, read_form
from .inputs.endpoints import parse_endpoint
from .inputs.images import ImageColumn
from .inputs.lines import check_encoding
from .inputs.rows import RowDefaults
from .inputs.template import EmptyRule
from .inputs.template_options import TemplateOptions, row_template, system_template
from .job import BatchJob
from .options.engine_options import EngineOptions
from .options.form_options import FormOptions
from .options.input_options import InputOptions
from .options.look_options import LookOptions
from .options.run_options import RunOptions
from .report.names import check_report
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
    run: RunOptions,
    look: LookOptions,
) -> BatchJob:
    """Build the job. Raises `UsageError` for options that contradict each other or name files that
    can't be read."""
    if look.report is not None:
        check_report(look.report)
    defaults = _row_defaults(rows, system, sampling, form, run, settings)
    return BatchJob(
        inputs,
        run.output,
        defaults,
        _engine_request(engine, defaults.form),
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
        allow_duplicates=rows.allow_duplicates,
        csv_safe=run.csv_safe,
        quiet=look.quiet,
        json=look.progress == "json",
        rule=RetryRule(wait=run.wait),
    )


def _row_defaults(
    rows: InputOptions,
    system: str | None,
    sampling: Sampling,
    form: FormOptions,
    run: RunOptions,
    settings: Settings,
) -> RowDefaults:
    check_encoding(rows.encoding)
    template = row_template(
        TemplateOptions(rows.template, rows.jinja, rows.template_file, rows.messages_template)
    )
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
        extract=tuple(Extraction.parse(text) for text in form.extract),
    )
    if defaults.form is not None and defaults.endpoint not in (None, CHAT, COMPLETIONS):
        text = _("--schema, --choice, --regex and --json-answer are for chat and completions.")
        raise UsageError(text)
    return defaults


def _engine_request(engine: EngineOptions, form: AnswerForm | None) -> EngineRequest:
    if engine.servers_file is not None and (engine.server is not None or engine.base_urls):
        raise UsageError(_("Give --servers, or --server and --base-url, not both."))
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
