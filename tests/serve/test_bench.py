"""`qchat bench` as a command, against the server that injects faults."""

import contextlib
import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qchat import cli
from tests import faults

ANSWERS = "latency=0.05;rate=200;length=8"
MEASURED = (0, 1)  # 1 where the client was late, as it is on a busy machine


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return tmp_path


def bench(server: faults.Running, *arguments: str) -> list[str]:
    return ["bench", "--base-url", server.url, "--output-len", "8", "--input-len", "20", *arguments]


def phases(file: Path) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = json.loads(file.read_text())["phases"]
    return parsed


def test_closed_loop(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = home / "a.json", home / "a.svg"
    arguments = ["--concurrency", "1,3", "--requests", "6", "--warm-up", "0s", "--json", str(file)]
    if importlib.util.find_spec("matplotlib"):
        arguments += ["--plot", str(picture)]
    with faults.running(answers=ANSWERS) as server:
        assert cli.run(bench(server, *arguments)) in MEASURED
        attempts = [record for record in server.log.records if record.attempt]
    out, err = capsys.readouterr()
    assert len(attempts) == 13  # six for each, and the one before
    assert len({record.prompt for record in attempts}) == 13
    assert "prompts are of 20 words" in err and "3 at a time" in err
    assert "total requests 6, QPS" in out and "mean latency" in out and "output tokens/s" in out
    for phase, concurrency in zip(phases(file), (1, 3), strict=True):
        assert phase["load"] == {"kind": "closed", "concurrency": concurrency}
        assert (phase["total_requests"], phase["answered"], phase["failed"]) == (6, 6, 0)
        assert (phase["output_tokens"], phase["tokens_counted_by"]) == (48, "server")
        assert phase["qps"] * phase["seconds"] == pytest.approx(6)
        assert phase["output_tokens_per_second"] * phase["seconds"] == pytest.approx(48)
        # The server waits at least so long; how much longer is the machine's affair.
        assert phase["ttft_ms"]["p50"] >= 50
        assert phase["latency_ms"]["p50"] >= 50 + 7 * 5
        assert phase["latency_ms"]["mean"] == phase["mean_latency_ms"] > phase["ttft_ms"]["mean"]
        # At most so many at a time, so many round trips at least.
        assert phase["seconds"] >= 6 / concurrency * 0.085
    if importlib.util.find_spec("matplotlib"):
        assert "<svg" in picture.read_text()


def test_open_loop_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rate", "40", "--requests", "12", "--warm-up", "0s", "--csv", "-", "--seed", "7"]
    with faults.running(answers=ANSWERS) as server:
        assert (
            cli.run(bench(server, *arguments, "--goodput", "ttft:60000", "tpot:60000")) in MEASURED
        )
    out, err = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["name"], row["total_requests"], row["failed"]) == ("40 a second", "12", "0")
    assert float(row["goodput_qps"]) == pytest.approx(float(row["qps"]))
    assert float(row["latency_p50_ms"]) >= 85
    assert "of 40 scheduled" in err  # the report makes way for the CSV


def test_conversations_are_measured_by_turn(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "a.json"
    arguments = ["--turns", "3", "--concurrency", "1", "--requests", "12", "--warm-up", "0"]
    with faults.running(answers="length=4") as server:
        assert cli.run(bench(server, *arguments, "--json", str(file))) in MEASURED
        attempts = [record for record in server.log.records if record.attempt][1:]
    assert (
        sorted(len(record.body["messages"]) for record in attempts) == [1] * 4 + [3] * 4 + [5] * 4
    )
    answers = {
        record.body["messages"][-2]["content"] for record in attempts if record.body["messages"][1:]
    }
    assert all(answer.startswith("echo:") for answer in answers)
    (phase,) = phases(file)
    assert [(turn["turn"], turn["answered"]) for turn in phase["turns"]] == [(1, 4), (2, 4), (3, 4)]
    assert json.loads(file.read_text())["settings"]["turns"] == 3
    assert "turn  answered" in capsys.readouterr().out


def test_a_sharegpt_file_is_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset := home / "sharegpt.json").write_text(
        json.dumps(
            [
                {
                    "conversations": [
                        {"from": "human", "value": f"q{n}"},
                        {"from": "gpt", "value": "a"},
                    ]
                }
                for n in range(3)
            ]
        )
    )
    file = home / "a.json"
    line = ["--dataset", str(dataset), "--concurrency", "1", "--requests", "4", "--warm-up", "0"]
    with faults.running(answers="length=4") as server:
        arguments = ["bench", "--base-url", server.url, *line, "--json", str(file)]
        assert cli.run(arguments) in MEASURED
        attempts = [record for record in server.log.records if record.attempt][1:]
        dataset.write_text('[{"conversations": []}')
        assert cli.run(arguments) == 2
    prompts = [record.prompt for record in attempts]
    assert sorted(prompts[:3]) == ["q0", "q1", "q2"] and prompts[3] == prompts[0]
    err = capsys.readouterr().err
    assert "3 of 3 recorded conversations" in err and "sent 1.3 times" in err
    assert "sharegpt.json, line 1, column 23: not valid JSON" in err


def test_errors_are_counted_by_cause(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = [
        *("500", "503", "429", "reset", "cut_stream", "half_line", "200_garbage", "200_empty"),
        *("400_context", "stream_error_event", "hang", "no_done", "keep_alive_comments"),
    ]
    rows, file = home / "in.jsonl", home / "a.json"
    rows.write_text("".join(json.dumps(f"{one} [[fault:{one}]]") + "\n" for one in faulty))
    arguments = [
        "--dataset",
        str(rows),
        "--concurrency",
        "13",
        "--requests",
        "13",
        "--warm-up",
        "0",
    ]
    with faults.running(answers="length=4") as server:
        line = ["bench", "--base-url", server.url, *arguments, "--timeout", "1s"]
        assert cli.run([*line, "--json", str(file)]) == 1
    (phase,) = phases(file)
    assert phase["answered"] == 2  # without [DONE], and with comments
    assert {code: error["count"] for code, error in phase["errors"].items()} == {
        "server_error": 2,
        "overloaded": 1,
        "rate_limited": 1,
        "disconnected": 3,
        "bad_response": 2,
        "context_length_exceeded": 1,
        "no_progress": 1,
    }
    out = capsys.readouterr().out
    assert "failed 11" in out and "1 failed: no_progress (no complete response within 1 s)" in out


def test_a_server_that_goes_away_ends_the_bench(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "a.json"
    with faults.running("reset:skip=5") as server:
        arguments = ["--concurrency", "8,16,32", "--duration", "60s", "--warm-up", "0"]
        assert cli.run(bench(server, *arguments, "--json", str(file))) == 3
    (phase,) = phases(file)
    assert phase["answered"] == 4 and set(phase["errors"]) == {"disconnected"}
    message = "The server went away (8 at a time); its log may say why. 2 loads were not measured."
    assert message in capsys.readouterr().err
    parsed = json.loads(file.read_text())
    assert parsed["complete"] is False and message in parsed["notes"]


@contextlib.contextmanager
def running_bench(server: faults.Running, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """A bench of five minutes as a process, after some responses."""
    arguments = ("--concurrency", "2", "--duration", "5m", "--warm-up", "0", *more)
    process = subprocess.Popen(
        [sys.executable, "-m", "qchat", *bench(server, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while "2 at a time" not in (line := process.stderr.readline()):
            assert line
        while sum(server.log.answered.values()) < 8:
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_what_was_measured(home: Path, signum: int, code: int) -> None:
    file = home / "a.json"
    with (
        faults.running(answers=ANSWERS) as server,
        running_bench(server, "--json", str(file)) as process,
    ):
        process.send_signal(signum)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "mean latency" in out and "Traceback" not in err
    (phase,) = phases(file)
    assert phase["answered"] >= 3 and phase["failed"] == 0 and 1 <= phase["cut"] <= 2
    assert phase["seconds"] < 120  # of the five minutes that were asked for
    assert phase["qps"] == pytest.approx(phase["answered"] / phase["seconds"])
    assert json.loads(file.read_text())["complete"] is False


def ignores_interrupts(pid: int) -> bool:
    """Whether SIGINT is ignored by now, as it is while results are written."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return bool(int(fields["SigIgn"], 16) & 1 << signal.SIGINT - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="sees in Linux's /proc that SIGINT is ignored")
def test_a_second_ctrl_c_leaves_the_results_whole(home: Path) -> None:
    file = home / "a.json"
    os.mkfifo(file)  # writing it blocks until the test reads
    with (
        faults.running(answers=ANSWERS) as server,
        running_bench(server, "--json", str(file)) as process,
    ):
        while not ignores_interrupts(process.pid):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        for _n in range(3):
            process.send_signal(signal.SIGINT)
        reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        _rest, err = process.communicate(timeout=60)
    with os.fdopen(reader) as written:
        (phase,) = json.load(written)["phases"]
    assert process.returncode == 130
    assert phase["answered"] >= 3 and "Traceback" not in err


def test_whoever_reads_the_report_may_leave_early(home: Path) -> None:
    file = home / "a.json"
    arguments = ["--concurrency", "1", "--requests", "2", "--warm-up", "0", "--json", str(file)]
    reader, writer = os.pipe()
    os.close(reader)
    with faults.running(answers="length=2") as server, os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "qchat", *bench(server, *arguments)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "QCHAT_HOME": str(home)},
            timeout=60,
        )
    assert "Traceback" not in done.stderr
    assert phases(file)[0]["answered"] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_file_that_cannot_be_written_costs_nothing_else(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = home / "a.csv"
    arguments = ["--concurrency", "1", "--requests", "2", "--warm-up", "0", "--csv", str(table)]
    with faults.running(answers="length=2") as server:
        assert cli.run(bench(server, *arguments, "--json", "/dev/full")) == 2
    out, err = capsys.readouterr()
    assert "Can't write /dev/full: No space left" in err
    assert "mean latency" in out and "1 at a time" in table.read_text()


def test_comparing_two_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "a.json"
    arguments = ["--concurrency", "4", "--requests", "40", "--warm-up", "0", "--json", str(file)]
    with faults.running(answers="length=2") as server:
        assert cli.run(bench(server, *arguments)) in MEASURED
    capsys.readouterr()
    assert cli.run(["bench", "--compare", str(file), str(file)]) == 0
    out = capsys.readouterr().out
    assert "1.000" in out and "worse" not in out and "better" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "0"], "numbers above 0"),
        (["--concurrency", "1.5"], "such as 1,8,64"),
        (["--rate", "fast"], "such as 0.5,10"),
        (["--rate", "1", "--concurrency", "1"], "--concurrency or --rate, not both"),
        (["--rate", "1", "--sweep"], "--rate or --sweep, not both"),
        (["--burstiness", "2"], "--burstiness is for --rate and for ramps"),
        (["--rate", "1", "--burstiness", "0"], "x>=0.01"),
        (["--rate", "1", "--burstiness", "nan"], "write numbers above 0"),
        (["--ramp-up-start-rps", "nan", "--ramp-up-end-rps", "1"], "write numbers above 0"),
        (["--ramp-up-start-rps", "1"], "needs --ramp-up-start-rps and --ramp-up-end-rps"),
        (["--ramp-up-strategy", "linear"], "needs --ramp-up-start-rps and --ramp-up-end-rps"),
        (["--ramp-up-end-rps", "1", "--rate", "1"], "--rate or --ramp-up-start-rps, not both"),
        (
            [
                *("--ramp-up-strategy", "exponential", "--ramp-up-start-rps", "0"),
                *("--ramp-up-end-rps", "1"),
            ],
            "can't start at 0",
        ),
        (["--duration", "soon"], "90s, 10m"),
        (["--duration", "0"], "must be above 0"),
        (["--goodput", "speed:3"], "'speed' is none of"),
        (["--goodput", "ttft:fast"], "milliseconds after the colon"),
        (["--goodput", "foo"], "'foo' does not have the form NAME:MS, such as ttft:200"),
        (["--goodput", "ttft:1", "stray"], "'stray' does not have the form NAME:MS"),
        (["--goodput", "ttft:1", "http://lab"], "'http://lab' is not expected"),
        (["http://lab:8000"], "'http://lab:8000' is not expected"),
        (["lab:8000"], "'lab:8000' is not expected"),
        (["--json", "-", "--csv", "-"], "--json and --csv name the same file"),
        (["--json", "a.svg", "--plot", "./a.svg"], "--json and --plot name the same file"),
        (["--dataset", "/no/such.jsonl"], "Can't read /no/such.jsonl"),
        (["--dataset", "x", "--input-len", "3"], "--input-len is for random texts"),
        (["--dataset", "x", "--prefix-len", "3"], "--prefix-len is for random texts"),
        (["--dataset", "x", "--dataset-name", "random"], "takes no --dataset"),
        (["--dataset-name", "sharegpt"], "needs the file: --dataset FILE"),
        (["--dataset-path", "/no/x", "--dataset-name", "sharegpt"], "Can't read /no/x"),
        (["--num-prefixes", "3"], "--num-prefixes needs --prefix-len"),
        (["--turns", "3", "--endpoint", "completions"], "--turns needs --endpoint chat"),
        (["--output-len", "3", "--max-tokens", "3"], "not both"),
        (["--json", "/no/such/folder/a.json"], "There is no folder"),
        (["--plot", "a.gif"], ".png or .svg"),
        (["--base-url", "nowhere"], "has no http"),
        (["--compare", "/no/a.json", "/no/b.json"], "Can't read /no/a.json"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [] if "--base-url" in arguments else ["--base-url", "http://127.0.0.1:9"]
    assert cli.run(["bench", *base, *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_result_does_not_overwrite_what_is_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rows := home / "in.jsonl").write_text('"a"\n')
    arguments = ["--base-url", "http://127.0.0.1:9", "--dataset", str(rows), "--json", str(rows)]
    assert cli.run(["bench", *arguments]) == 2
    assert "--dataset and --json name the same file" in capsys.readouterr().err
    assert rows.read_text() == '"a"\n'


def test_an_unreachable_server(unused_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "--base-url", f"http://127.0.0.1:{unused_port}"]) == 3
    assert "can't be reached: Connection refused" in capsys.readouterr().err


def test_an_unknown_model_a_refused_key_and_several_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with faults.running(models=["a", "b"]) as server:
        assert cli.run(["bench", "--base-url", server.url, "--model", "c"]) == 2
        assert cli.run(["bench", "--base-url", server.url]) == 2
    with faults.running(api_key="secret") as server:
        assert cli.run(["bench", "--base-url", server.url]) == 3
    err = capsys.readouterr().err
    assert "does not have this model" in err and "choose one with --model: a, b" in err
    assert "wants a key" in err
