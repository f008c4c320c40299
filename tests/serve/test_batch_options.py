"""The options of `qchat serve` for the Batch API."""

from collections.abc import Callable
from pathlib import Path

import pytest
from qchat.serve.planning.batch_options import BatchOptions, read
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan

from qchat import cli
from qchat.errors import UsageError

KEY = {"QCHAT_API_KEY": "k" * 40}
NONE = {
    **dict.fromkeys(("batch_max_lines", "batch_max_file_bytes", "batch_quota_bytes")),
    **dict.fromkeys(("batch_max_running", "batch_retention", "media_domains")),
    "batches": False,
}


def test_off_by_default() -> None:
    values = {**NONE, "other": 1}
    assert read(values) is None and values == {"other": 1}


def test_what_is_given_counts() -> None:
    options = read(
        {**NONE, "batches": True, "batch_max_lines": 5, "media_domains": "A.example, b.example"}
    )
    assert options == BatchOptions(max_lines=5, media_domains=("a.example", "b.example"))
    assert BatchOptions.from_dict(options.to_dict()) == options
    assert options.to_arguments() == [
        *("--batches", "--batch-max-lines", "5", "--media-domains", "a.example,b.example")
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_max_lines": 5}, "--batch-max-lines needs --batches"),
        ({"media_domains": "a.example"}, "--media-domains needs --batches"),
        ({"batches": True, "media_domains": "http://a.example"}, "no host name"),
        ({"batches": True, "media_domains": "*"}, "no host name"),
    ],
)
def test_what_makes_no_sense(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read({**NONE, **values})


def test_a_plan_needs_a_key() -> None:
    options = ServeOptions("demo", batches=BatchOptions())
    with pytest.raises(UsageError, match="--batches needs a key"):
        make_plan(options, None, {})
    plan = make_plan(options, None, KEY)
    assert plan.rules.max_file_bytes == 200_000_000
    assert ServePlan.from_json(plan.to_json()) == plan


def test_a_host_for_images_may_not_lead_to_another() -> None:
    options = ServeOptions("demo", batches=BatchOptions(media_domains=("a.example",)))
    redirects = "VLLM_MEDIA_URL_ALLOW_REDIRECTS"
    assert (redirects, "0") in make_plan(options, None, KEY).environment
    own = make_plan(options, None, {**KEY, redirects: "1"})
    assert redirects not in dict(own.environment)
    plain = make_plan(ServeOptions("demo", batches=BatchOptions()), None, KEY)
    assert redirects not in dict(plain.environment)


def test_the_command(machine: Callable[[bool], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", "demo", "--batches", "--print-command"]) == 2
    assert "--batches needs a key" in capsys.readouterr().err
    arguments = ["serve", "demo", "--batches", "--generate-key", "--batch-max-file-bytes", "7"]
    assert cli.run([*arguments, "--print-command"]) == 0
    assert '"max_file_bytes": 7' in capsys.readouterr().out


def test_without_batches_nothing_changes(tmp_path: Path) -> None:
    plan = make_plan(ServeOptions("demo"), None, {})
    assert plan.batches is None and plan.rules.max_file_bytes is None
    text = plan.to_json().replace('"batches": null, ', "").replace(', "batches": null', "")
    assert ServePlan.from_json(text) == plan  # of an earlier version
