"""The chat says that a batch runs beside on its server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.running_batches import BatchEntry
from qchat.sampling import Sampling
from qchat.settings import Paths
from tests import faults

from .settings_chat import chat
from .waiting import wait_until


async def test_a_batch_is_told_with_how_to_pause_it(tmp_path: Path) -> None:
    paths = Paths.find({"QCHAT_HOME": str(tmp_path)})
    with (
        faults.running(models=["small"]) as server,
        BatchEntry(paths) as entry,
        BatchEntry(paths) as elsewhere,
    ):
        about = {"results": "/data/out.jsonl", "done": 3, "total": 1200}
        entry.write({**about, "servers": {server.base_url: 4}, "is_yielding": True})
        elsewhere.write({**about, "servers": {"http://127.0.0.1:9/v1": 4}})
        with chat(tmp_path, server.base_url, Sampling()) as app:
            told: list[str] = []
            app.say = lambda text, **_more: told.append(text)  # type: ignore[method-assign]
            async with app.run_test(size=(160, 24)):
                await wait_until(lambda: len(app.parts.monitor.batches) == 1)
                await wait_until(
                    lambda: "batch 3/1,200" in [part.text for part in app.parts.status_line.parts]
                )
                entry.write({**about, "done": 9, "servers": {server.base_url: 4}})
                app.parts.monitor.wake()
                await wait_until(
                    lambda: "batch 9/1,200" in [part.text for part in app.parts.status_line.parts]
                )
                [once] = [text for text in told if "A batch runs beside" in text]
                assert "qchat batch --pause /data/out.jsonl" in once


async def test_one_of_this_window_is_not_told_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    (tmp_path / "q.jsonl").write_text('"[[answer:rate=20;length=60]]"\n')
    with (
        faults.running(models=["small"]) as server,
        chat(tmp_path, server.base_url, Sampling()) as app,
    ):
        async with app.run_test(size=(100, 24)):
            await wait_until(lambda: app.conversation.is_open)
            told: list[str] = []
            app.say = lambda text, **_more: told.append(text)  # type: ignore[method-assign]
            monitor = app.parts.monitor
            app.parts.batch_actions.run(str(tmp_path / "q.jsonl"))

            def is_known() -> bool:
                monitor.wake()
                return len(monitor.batches) == 1

            await wait_until(is_known, 30)
            await wait_until(lambda: bool(told), 60)
            await wait_until(lambda: not monitor.batches, 5)
            assert [text for text in told if "runs beside" in text] == []


def test_the_line_of_one_in_chinese() -> None:
    code = """if True:
        from qchat.running_batches import RunningBatch

        about = RunningBatch(1, "out.jsonl", done=23, total=1234, is_yielding=True)
        print(about.summary())
    """
    environ = {**os.environ, "QCHAT_LANG": "zh", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, encoding="utf-8", check=True
    )
    expected = "已完成 23/1,234 行，让路给实时请求；暂停：qchat batch --pause out.jsonl\n"
    assert run.stdout == expected
