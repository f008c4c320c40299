"""The options of a batch from Python, as the same `BatchJob` that the command line makes."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import UsageError
from ...i18n import _
from ...sampling import RANGES, Sampling
from ...settings import Settings
from ..low_priority import AUTO, LowPriority
from ..options.engine_options import EngineOptions
from ..options.form_options import FormOptions
from ..options.input_options import InputOptions
from ..options.look_options import LookOptions
from ..options.question_options import QuestionOptions
from ..options.run_options import RunOptions

if TYPE_CHECKING:
    from ..job import BatchJob

PathLike = str | Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """The options of a batch, by the names and with the meanings of ``qchat batch --help``.

    All are optional: what is not given comes from config.toml and the environment, as on the
    command line.

    - Output: `output` is the results file (``NAME.jsonl``, ``.csv``, ``.tsv``, ``.parquet``). Rows
      that a program gives without one are kept in a temporary file, and can't be resumed.
    - Who answers: `engine` is ``auto``, ``offline``, ``http`` or ``ray``; `server` a profile's
      name, `base_url` one URL or several, `servers` a file of them, `api_key_env` a variable's
      name. `concurrency` is in requests in flight for each server, `rpm` and `tpm` in requests and
      tokens a minute. `low_priority` yields to live requests: the number of requests in flight
      beside them, or True to have it measured where there are many rows. `vllm` are engine
      arguments by name; True and False are flags, mappings and lists JSON. `replicas` of Ray's
      engine are a number, or the least and the most; `ray_address` is that of a cluster,
      `tensor_parallel_size` in GPUs a model.
    - Sampling: `max_tokens` counts generated tokens, thinking included; `stop` is one text or
      several; `extra_body` holds further keys of the request body.
    - Form: `schema` is a JSON schema, the path of one, or a class with `model_json_schema`
      (pydantic's); `choice` a sequence of words (a text is split at commas); `extract` maps new
      columns to ``$.paths``.
    - Run: `wait` and `time_limit` are in seconds; `retry_where` are qualities such as ``cut``.
      `ordered` sorts the results file, and yields the results, in the order of the rows.
    """

    output: PathLike | None = None
    engine: str = "auto"
    server: str | None = None
    base_url: str | Sequence[str] | None = None
    servers: PathLike | None = None
    api_key_env: str | None = None
    model: str | None = None
    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    low_priority: bool | int = False
    vllm: Mapping[str, object] = field(default_factory=dict)
    ray_address: str | None = None
    replicas: int | tuple[int, int] | None = None
    tensor_parallel_size: int | None = None

    system: str | None = None
    preset: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | Sequence[str] | None = None
    thinking: bool | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    template: str | None = None
    jinja: bool = False
    template_file: PathLike | None = None
    messages_template: PathLike | None = None
    empty: str = "error"
    keep_prompt: bool = False
    endpoint: str | None = None
    drop_last_assistant: bool = False
    row_params: bool | None = None
    encoding: str = "utf-8"
    limit: int | None = None
    allow_duplicates: bool = False

    schema: Mapping[str, Any] | PathLike | type | None = None
    choice: str | Sequence[str] = ()
    regex: str | None = None
    json_answer: bool = False
    extract: Mapping[str, str] = field(default_factory=dict)

    ordered: bool = False
    prefix: str = ""
    csv_safe: bool = False
    restart: bool = False
    retry_failed: bool = False
    retry_where: Sequence[str] = ()
    accept_changes: bool = False
    adopt: PathLike | None = None
    dedup: bool = False
    wait: float = 600.0
    time_limit: float | None = None


def job_of_options(options: BatchOptions, settings: Settings) -> "BatchJob":
    """Build the job, without its inputs. Raises `UsageError` as the command line does."""
    from ..job_options import job_of

    with _schema_file(options.schema) as schema:
        values = _command_defaults() | _checked(_values(options, schema))
        job = job_of(
            (),
            settings,
            _group(InputOptions, values),
            _group(EngineOptions, values),
            options.system,
            _sampling(options),
            _group(FormOptions, values),
            _group(QuestionOptions, values),
            _group(RunOptions, values),
            _group(LookOptions, values),
        )
    return replace(job, engine=replace(job.engine, in_process=False))


T = TypeVar("T")


def _group(kind: type[T], values: Mapping[str, Any]) -> T:
    return kind(**{one.name: values[one.name] for one in fields(kind)})  # type: ignore[arg-type]


def _command_defaults() -> dict[str, Any]:
    """The parameters of the command where nothing is given, by name."""
    from ..command import batch

    # Without names for help: a command keeps the help option of the first context that has some.
    return dict(batch.make_context("batch", ["-"], help_option_names=[]).params)


_SAME_NAME = (
    *("engine", "server", "api_key_env", "model", "concurrency", "rpm", "tpm"),
    *("template", "jinja", "empty", "keep_prompt", "endpoint", "drop_last_assistant"),
    *("row_params", "encoding", "limit", "allow_duplicates", "regex", "json_answer"),
    *("ordered", "prefix", "csv_safe", "restart", "retry_failed", "accept_changes"),
    *("dedup", "wait", "time_limit", "low_priority", "ray_address", "tensor_parallel_size"),
)
_PATHS = {
    "output": "output",
    "template_file": "template_file",
    "messages_template": "messages_template",
    "adopt": "adopt",
    "servers": "servers_file",
}


def _values(options: BatchOptions, schema: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(options, name) for name in _SAME_NAME}
    for name, parameter in _PATHS.items():
        path = getattr(options, name)
        values[parameter] = None if path is None else str(path)
    urls = options.base_url
    values["base_urls"] = (urls,) if isinstance(urls, str) else tuple(urls or ())
    values["engine_args"] = tuple(starmap(_engine_argument, options.vllm.items()))
    values["schema"] = schema
    choice = options.choice
    values["choice"] = (choice if isinstance(choice, str) else tuple(choice)) or None
    values["extract"] = tuple(f"{name}={path}" for name, path in options.extract.items())
    values["retry_where"] = _qualities(options.retry_where)
    values["low_priority"] = _low_priority(options.low_priority)
    values["replicas"] = _replicas(options.replicas)
    values["engine"] = _one_of("engine", options.engine, ("auto", "offline", "http", "ray"))
    values["empty"] = _one_of("empty", options.empty, ("skip", "ask", "error"))
    return values


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values; numbers are those that the command takes. Raises `UsageError`."""
    import click

    from ..command import batch

    kinds = {one.name: one.type for one in batch.params}
    kinds |= {"concurrency": click.IntRange(1), "wait": click.FloatRange(0)}
    kinds["time_limit"] = click.FloatRange(0, min_open=True)
    for name, value in values.items():
        kind = kinds[name]
        if value is not None and isinstance(kind, click.IntRange | click.FloatRange):
            try:
                values[name] = kind.convert(value, None, None)
            except click.BadParameter as error:
                raise UsageError(f"{name}: {error.message}") from None
    return values


def _engine_argument(name: str, value: object) -> str:
    """Return an argument as --vllm takes it: a flag has no value, others than numbers are JSON."""
    if isinstance(value, bool):
        return f"{name}=" if value else f"no_{name}="
    text = json.dumps(value) if isinstance(value, Mapping | list | tuple) else str(value)
    return f"{name}={text}"


def _replicas(value: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if value is None:
        return None
    least, most = (value, value) if isinstance(value, int) else value
    if not 1 <= least <= most:
        raise UsageError(_("replicas must be a number from 1 on, or the least and the most."))
    return least, most


def _one_of(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        text = _("{name}: '{value}' is none of {choices}.")
        raise UsageError(text.format(name=name, value=value, choices=", ".join(choices)))
    return value


def _qualities(names: str | Sequence[str]) -> frozenset[str]:
    from ..quality import COUNTED

    given = [names] if isinstance(names, str) else list(names)
    return frozenset(_one_of("retry_where", name, COUNTED) for name in given)


def _low_priority(value: bool | int) -> LowPriority | None:
    if value is False:
        return None
    if value is True:
        return AUTO
    if value < 1:
        raise UsageError(_("low_priority must be True, or a number from 1 on."))
    return value


def _sampling(options: BatchOptions) -> Sampling:
    stop = (options.stop,) if isinstance(options.stop, str) else options.stop
    return Sampling(
        **{name: getattr(options, name) for name in RANGES},
        stop=tuple(stop) if stop else None,
        thinking=options.thinking,
        extra=dict(options.extra_body),
        preset=options.preset,
    )


@contextlib.contextmanager
def _schema_file(schema: Mapping[str, Any] | PathLike | type | None) -> Iterator[str | None]:
    """The path of the schema; of one that is no file, that of a temporary file."""
    if schema is None or isinstance(schema, str | Path):
        yield None if schema is None else str(schema)
        return
    if isinstance(schema, type):
        if not hasattr(schema, "model_json_schema"):
            text = _("schema: {name} has no model_json_schema; give a JSON schema or its file.")
            raise UsageError(text.format(name=schema.__name__))
        schema = schema.model_json_schema()
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(schema, file)
        file.flush()
        yield file.name
