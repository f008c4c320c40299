"""The options of a batch from Python are those of the command, checked in the same way."""

from typing import Any

import pytest
from qchat.batch import BatchOptions, run_batch
from qchat.batch.engines.offline import OfflineOptions
from qchat.batch.library.options import job_of_options

from qchat.errors import UsageError
from qchat.settings import load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0),
        ("concurrency", "many"),
        ("rpm", 0),
        ("rpm", -1),
        ("tpm", 0),
        ("limit", 0),
        ("limit", -1),
        ("wait", -1),
        ("time_limit", 0),
        ("replicas", 0),
        ("replicas", (3, 2)),
        ("tensor_parallel_size", 0),
    ],
)
def test_a_number_that_the_command_refuses_is_refused_at_once(name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value, "base_url": "http://127.0.0.1:9"}
    with pytest.raises(UsageError, match=f"^{name}"):
        run_batch(["a"], **given)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["a, b", "c"], ("a, b", "c")),
        (("yes", "no"), ("yes", "no")),
        ("good,bad", ("good", "bad")),
        ("abc", ("abc",)),
    ],
)
def test_words_are_kept_as_they_are(choice: Any, words: tuple[str, ...]) -> None:
    form = job_of_options(BatchOptions(choice=choice, model="demo"), load({})).defaults.form
    assert form is not None and form.choices == words


def test_values_for_vllm_are_written_as_its_server_reads_them() -> None:
    given = {"enforce_eager": True, "enable_prefix_caching": False, "max_model_len": 512}
    given |= {"rope_scaling": {"factor": 2.0}}
    job = job_of_options(BatchOptions(vllm=given, model="demo"), load({}))
    assert OfflineOptions(engine_args=dict(job.engine.engine_args)).arguments() == {
        "enforce-eager": "",
        "no-enable-prefix-caching": "",
        "max-model-len": "512",
        "rope-scaling": '{"factor": 2.0}',
    }


def test_ray_is_an_engine() -> None:
    options = BatchOptions(
        engine="ray", replicas=(1, 4), ray_address="auto", tensor_parallel_size=2, model="demo"
    )
    engine = job_of_options(options, load({})).engine
    assert (engine.engine, engine.replicas, engine.ray_address) == ("ray", (1, 4), "auto")
    assert engine.tensor_parallel_size == 2
    one = job_of_options(BatchOptions(engine="ray", replicas=3, model="demo"), load({}))
    assert one.engine.replicas == (3, 3)
