"""The results of other versions of vLLM, and the tables made of them."""

import zipfile
from pathlib import Path

import pytest

from qchat.engine.runtime.vllm_versions import is_tested
from tests.engine.vllm_source import write_vllm
from tests.vllm_versions import results, source, table
from tests.vllm_versions.results import Result
from tests.vllm_versions.run import Recorder


@pytest.mark.parametrize("path", table.DOCUMENTS, ids=lambda path: path.name)
def test_the_document_has_the_table_of_the_results(path: Path) -> None:
    text = path.read_text("utf-8")
    assert table.replace_table(text, table.table(results.load())) == text, (
        "run python -m tests.vllm_versions.table"
    )


def test_every_result_is_of_a_tested_version() -> None:
    for version, uses in results.load().items():
        assert is_tested(version)
        assert set(uses) <= set(results.FILES)


def test_the_table_has_what_failed_and_what_did_not_run() -> None:
    some = {
        "0.9.0": {"serve": Result(3, 0, "2026-01-02")},
        "0.10.0": {
            "serve": Result(2, 1, "2026-01-03"),
            "offline": Result(0, 0, "2026-01-01", "its source alone was looked at"),
        },
    }
    assert table.table(some).splitlines()[2:] == [
        "| 0.10.0 | 2 of 3 tests | its source alone was looked at | 2026-01-03 |",
        "| 0.9.0 | yes (3 of 3 tests) | – | 2026-01-02 |",
    ]


def test_results_are_written_as_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.save({"0.9.0": {"serve": Result(3, 0, "2026-01-02")}}, file)
    assert results.load(file) == {"0.9.0": {"serve": Result(3, 0, "2026-01-02")}}


def test_a_document_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="missing"):
        table.replace_table("text", "table")


def test_the_recorder_counts_a_test_once_and_a_broken_fixture() -> None:
    recorder = Recorder()

    def report(file: str, when: str, outcome: str) -> None:
        recorder.pytest_runtest_logreport(
            pytest.TestReport(
                "x",
                (f"tests/e2e/{file}", 1, "x"),
                {},
                outcome,
                None,
                when,  # type: ignore[arg-type]
            )
        )

    for when in ("setup", "call", "teardown"):
        report("test_serve.py", when, "passed")
    report("test_serve.py", "setup", "failed")
    report("test_serve.py", "setup", "skipped")
    report("test_tui.py", "call", "passed")
    assert recorder.results("2026-01-01") == {"serve": Result(1, 1, "2026-01-01")}


def test_a_wheel_is_looked_at_without_being_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "vllm-0.40.0-py3-none-any.whl"
    write_vllm(tmp_path / "vllm", without="init_app_state")
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in (tmp_path / "vllm").rglob("*.py"):
            archive.write(file, file.relative_to(tmp_path))
    names = source.missing_in(wheel)
    assert names["serve"] == ()
    assert [name.rpartition(".")[2] for name in names["offline"]] == ["init_app_state"]


def test_every_file_of_a_use_exists() -> None:
    folder = Path(__file__).parent / "e2e"
    assert all((folder / name).is_file() for names in results.FILES.values() for name in names)
