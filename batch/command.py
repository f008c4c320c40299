"""The command `qchat batch`."""

import sys
from pathlib import Path

import click

from .. import cli_options as options
from ..help_groups import GroupedCommand
from ..i18n import _
from ..sampling import Sampling
from .option_groups import GROUPS
from .prompt_options import prompt_options

ENGINES = ("auto", "offline", "http")


def _number_or_auto(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None or value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(_("must be a number from 1 on, or auto."))
    return int(value)


def _qualities(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str]:
    from .quality import COUNTED

    names = frozenset(name.strip() for name in (value or "").split(",") if name.strip())
    for name in sorted(names - set(COUNTED)):
        text = _("'{name}' is none of {names}.")
        raise click.BadParameter(text.format(name=name, names=", ".join(COUNTED)))
    return names


@click.command(
    cls=GroupedCommand,
    groups=GROUPS,
    help=_(
        """Answer every row of files.

        Each INPUT (a file, folder, glob or URL, or - for standard input) holds one request per row:
        JSON lines, a JSON array, CSV, Parquet or Arrow, also compressed. A row is an OpenAI batch
        line, {"messages": [...]}, {"prompt": "..."} or a text; other columns need --template.
        Answers are written to INPUT.results.jsonl as they arrive. The same command resumes a run
        that was stopped or killed: no row is lost, and none is answered twice.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat batch questions.jsonl --model demo
  qchat batch questions.jsonl --base-url http://127.0.0.1:8000
  qchat batch in.jsonl --base-url http://gpu1:8000 --base-url http://gpu2:8000
  qchat batch 'parts/*.jsonl' -o answers.jsonl --preset qwen3-nonthinking
  qchat batch in.csv --template 'Good? {text}' --choice yes,no -o out.csv
  qchat batch in.parquet --template 'Good or bad? {text}' --check
  qchat batch big.jsonl --base-url http://gpu1:8000 --detach
  qchat batch --status big.results.jsonl
  zcat big.jsonl.gz | qchat batch - -o - --model demo | jq -r .output

\b
Exit codes:
  0         all rows were answered
  1         finished, but some rows failed (see the errors file)
  2         wrong usage or input
  3         the engine or server failed; the same command resumes
  130, 143  interrupted; the same command resumes
"""
    ),
)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    metavar="NAME.jsonl",
    help=_(
        "Results file; - for standard output, without resume. NAME.csv, NAME.tsv and NAME.parquet "
        "are written at the end from NAME.jsonl, in input order.  [default: INPUT.results.jsonl]"
    ),
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    help=_(
        "offline: vLLM in this process; http: a server; auto: the server that was given or is "
        "configured, if it responds, else offline.  [default: auto]"
    ),
)
@options.servers_options
@click.option(
    "--concurrency",
    metavar="N",
    callback=_number_or_auto,
    help=_("Requests in flight per server; auto adapts to the server's load.  [default: auto]"),
)
@click.option(
    "--servers",
    "servers_file",
    metavar="FILE",
    help=_(
        "Spread the work over the servers of a TOML file, with sections as in config.toml: "
        "[servers.NAME] with base_url and a key each (api_key_env, api_key_file)."
    ),
)
@click.option(
    "--rpm",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help=_("At most N requests a minute to each server."),
)
@click.option(
    "--tpm",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help=_("At most N tokens a minute, prompts included, to each server."),
)
@click.option(
    "--vllm",
    "engine_args",
    multiple=True,
    metavar="NAME=VALUE",
    help=_("vLLM engine argument for the offline engine, e.g. max_model_len=8192; repeatable."),
)
@options.system
@options.sampling_options
@prompt_options
@click.option(
    "--row-params/--no-row-params",
    default=None,
    help=_(
        "Take columns such as temperature as parameters of the request, or as data.  "
        "[default: parameters, but data with --template]"
    ),
)
@click.option(
    "--schema", metavar="FILE", help=_("Answers are JSON of the JSON schema in this file.")
)
@click.option(
    "--choice", metavar="A,B", help=_("Answers are one of these words, e.g. good,bad,mixed.")
)
@click.option("--regex", metavar="PATTERN", help=_("Answers match this pattern as a whole."))
@click.option("--json-answer", is_flag=True, help=_("Answers are JSON objects."))
@click.option(
    "--extract",
    multiple=True,
    metavar="NAME=$.PATH",
    help=_("Add a column with a value of the JSON answer, e.g. city=$.address.city; repeatable."),
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help=_("Process only the first N rows.")
)
@click.option(
    "--restart", is_flag=True, help=_("Process all rows again; earlier results are renamed.")
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help=_("Retry rows that failed with an error that is not retried automatically."),
)
@click.option(
    "--retry-where",
    metavar="QUALITY",
    callback=_qualities,
    help=_(
        "Ask rows again whose answers are cut, empty, looped or invalid (several: cut,empty). Cut "
        "ones are continued where the engine can, or get a larger budget."
    ),
)
@click.option(
    "--accept-changes",
    is_flag=True,
    help=_("Ask answered rows again whose parameters have changed; the old answers are kept."),
)
@click.option("--ordered", is_flag=True, help=_("Sort the results into input order at the end."))
@click.option(
    "--dedup",
    is_flag=True,
    help=_("Send equal rows only once if sampling is deterministic (temperature 0 or a seed)."),
)
@click.option(
    "--adopt",
    metavar="OLD.jsonl",
    help=_("Take over the answers that another run's results have to the same requests."),
)
@click.option(
    "--time-limit",
    metavar="TIME",
    callback=options.time_span,
    help=_("Stop after this time as with SIGTERM, e.g. 3h50m; for job schedulers."),
)
@click.option("--allow-duplicates", is_flag=True, help=_("Allow rows with the same custom_id."))
@click.option(
    "--prefix", default="", metavar="TEXT", help=_("Prefix for the names of the answer's columns.")
)
@click.option(
    "--csv-safe",
    is_flag=True,
    help=_("In CSV, put ' before cells that a spreadsheet would run as a formula."),
)
@click.option(
    "--encoding",
    default="utf-8",
    metavar="NAME",
    show_default=True,
    help=_("Text encoding of the inputs, e.g. gb18030."),
)
@click.option(
    "--wait",
    default="10m",
    metavar="TIME",
    show_default=True,
    callback=options.time_span,
    help=_("How long to wait for a server that does not respond, e.g. 90s, 10m or 2h."),
)
@click.option(
    "--progress",
    type=click.Choice(("auto", "json")),
    default="auto",
    help=_(
        "json: JSON objects on stderr, one per line, every second during the run; "
        "auto: a live line on a terminal, otherwise log lines.  [default: auto]"
    ),
)
@click.option(
    "--detach",
    is_flag=True,
    help=_("Run in the background; the terminal can be closed."),
)
@click.option(
    "--status",
    metavar="OUT.jsonl",
    help=_("Show the state and progress of a run and exit; with --progress json as JSON."),
)
@click.option(
    "--check",
    is_flag=True,
    help=_(
        "Validate the inputs and exit: kinds of rows, tokens, duplicates, the first requests; "
        "no model is loaded, no server is asked."
    ),
)
@click.option("-q", "--quiet", is_flag=True, help=_("Show only warnings and errors."))
def batch(
    inputs: tuple[str, ...],
    output: str | None,
    engine: str,
    server: str | None,
    base_urls: tuple[str, ...],
    api_key_env: str | None,
    model: str | None,
    concurrency: int | None,
    servers_file: str | None,
    rpm: float | None,
    tpm: float | None,
    engine_args: tuple[str, ...],
    system: str | None,
    sampling: Sampling,
    template: str | None,
    jinja: bool,
    template_file: str | None,
    messages_template: str | None,
    empty: str,
    keep_prompt: bool,
    endpoint: str | None,
    drop_last_assistant: bool,
    row_params: bool | None,
    schema: str | None,
    choice: str | None,
    regex: str | None,
    json_answer: bool,
    extract: tuple[str, ...],
    limit: int | None,
    restart: bool,
    retry_failed: bool,
    retry_where: frozenset[str],
    accept_changes: bool,
    ordered: bool,
    dedup: bool,
    adopt: str | None,
    time_limit: float | None,
    allow_duplicates: bool,
    prefix: str,
    csv_safe: bool,
    encoding: str,
    wait: float,
    progress: str,
    detach: bool,
    status: str | None,
    check: bool,
    quiet: bool,
) -> None:
    # Imported here, not above: `qchat batch --help` needs none of it.
    from ..settings import load
    from .engines.selection import EngineRequest
    from .extraction import Extraction
    from .form import read_form
    from .inputs.endpoints import parse_endpoint
    from .inputs.lines import check_encoding
    from .inputs.rows import RowDefaults
    from .inputs.template import EmptyRule
    from .inputs.template_options import TemplateOptions, row_template, system_template
    from .job import BatchJob
    from .request import CHAT, COMPLETIONS
    from .run import run, start_detached
    from .scheduler import RetryRule

    if status is not None:
        from .status import show_status

        return show_status(status, as_json=progress == "json")
    if not inputs:
        raise click.UsageError(_("Missing INPUT: name a JSONL file, or - for standard input."))
    if servers_file is not None and (server is not None or base_urls):
        raise click.UsageError(_("Give --servers, or --server and --base-url, not both."))
    check_encoding(encoding)
    settings = load()
    prompt_template = row_template(
        TemplateOptions(template, jinja, template_file, messages_template)
    )
    defaults = RowDefaults(
        system=system,
        sampling=sampling.merged_over(Sampling(preset=settings.preset)),
        template=prompt_template,
        system_template=system_template(system, prompt_template),
        empty=EmptyRule(empty),
        keep_prompt=keep_prompt,
        prefix=prefix,
        encoding=encoding,
        endpoint=parse_endpoint(endpoint),
        drop_last_assistant=drop_last_assistant,
        row_params=row_params,
        form=read_form(schema, choice, regex, any_json=json_answer),
        extract=tuple(Extraction.parse(text) for text in extract),
    )
    if defaults.form is not None and defaults.endpoint not in (None, CHAT, COMPLETIONS):
        text = _("--schema, --choice, --regex and --json-answer are for chat and completions.")
        raise click.UsageError(text)
    engine_request = EngineRequest(
        engine,
        server,
        base_urls,
        api_key_env,
        model,
        concurrency,
        None if servers_file is None else Path(servers_file),
        rpm,
        tpm,
        (*(defaults.form.engine_args if defaults.form else ()), *_pairs(engine_args)),
    )
    job = BatchJob(
        inputs,
        output,
        defaults,
        engine_request,
        limit=limit,
        restart=restart,
        retry_failed=retry_failed,
        retry_where=retry_where,
        accept_changes=accept_changes,
        ordered=ordered,
        dedup=dedup,
        adopt=adopt,
        time_limit=time_limit,
        allow_duplicates=allow_duplicates,
        csv_safe=csv_safe,
        quiet=quiet,
        json=progress == "json",
        rule=RetryRule(wait=wait),
    )
    if check:
        from .check import check as check_inputs

        sys.exit(check_inputs(job, settings))
    if detach:
        arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
        sys.exit(start_detached(job, settings, arguments))
    sys.exit(run(job, settings, ["qchat", *sys.argv[1:]]))


def _pairs(items: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            text = _("--vllm {item}: expected NAME=VALUE, e.g. max_model_len=8192.")
            raise click.UsageError(text.format(item=item))
        pairs.append((name.strip().lstrip("-").replace("-", "_"), value))
    return tuple(pairs)
