"""The command `qchat batch`."""

import sys

import click

from .. import cli_options
from ..i18n import _
from ..sampling import Sampling
from .options.engine_options import EngineOptions, engine_options
from .options.form_options import FormOptions, form_options
from .options.groups import GROUPS
from .options.input_options import InputOptions, input_options
from .options.look_options import LookOptions, look_options
from .options.optional_value import BatchCommand
from .options.question_options import QuestionOptions, question_options
from .options.run_options import RunOptions, run_options


@click.command(
    cls=BatchCommand,
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
  qchat batch in.csv --ask questions.yaml --gold labels.csv --model demo
  qchat batch in.parquet --template 'Good or bad? {text}' --check
  qchat batch in.jsonl --model demo --check --probe 200
  qchat batch big.jsonl --base-url http://gpu1:8000 --detach
  qchat batch --status big.results.jsonl
  qchat batch --pause big.results.jsonl
  qchat batch big.jsonl --base-url http://gpu1:8000 --low-priority
  qchat batch --report big.html --of big.results.jsonl
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
@input_options
@engine_options
@cli_options.system
@cli_options.sampling_options
@form_options
@question_options
@run_options
@look_options
def batch(
    inputs: tuple[str, ...],
    rows: InputOptions,
    engine: EngineOptions,
    system: str | None,
    sampling: Sampling,
    form: FormOptions,
    questions: QuestionOptions,
    run_options: RunOptions,
    look: LookOptions,
) -> None:
    # Imported here, not above: `qchat batch --help` needs none of it.
    from ..settings import load
    from .detach import start_detached
    from .job_options import job_of
    from .run import run

    if look.status is not None:
        from .status import show_status

        return show_status(look.status, as_json=look.progress == "json")
    if look.pause is not None:
        from .pause import pause

        return pause(look.pause)
    if look.of is not None:
        from .report.write import report_of

        if look.report is None or inputs:
            raise click.UsageError(_("Give --of with --report FILE.html alone, without INPUT."))
        sys.exit(report_of(look.of, look.report, rows.encoding))
    if not inputs and rows.from_results is None:
        raise click.UsageError(_("Missing INPUT: name a JSONL file, or - for standard input."))
    settings = load()
    job = job_of(
        inputs, settings, rows, engine, system, sampling, form, questions, run_options, look
    )
    if look.probe is not None and not look.check:
        raise click.UsageError(_("Give --probe N with --check."))
    if look.check:
        from .check.command import check as check_inputs

        sys.exit(check_inputs(job, settings, look.probe))
    if run_options.detach:
        arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
        sys.exit(start_detached(job, settings, arguments))
    sys.exit(run(job, settings, ["qchat", *sys.argv[1:]]))
