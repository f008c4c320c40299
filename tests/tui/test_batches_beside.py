"""The chat says that a batch runs beside on its server."""

from pathlib import Path

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
