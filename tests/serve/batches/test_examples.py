"""The example programs with OpenAI's clients for Python and Node, as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.supervised import LINUX

from .serving import ALICE, MODEL, Served

pytestmark = LINUX
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "batches"
# What npm says where it has no way to its registry.
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def run(served: Served, folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **served.environment(),
            "QCHAT_BASE_URL": served.url,
            "QCHAT_API_KEY": ALICE,
            "QCHAT_MODEL": MODEL,
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(output: str) -> None:
    first, *answers = output.splitlines()
    assert first.startswith("completed")
    assert sorted(answers) == [
        "task-0 echo 你好，请介绍一下你自己",
        "task-1 echo 什么是机器学习？",
    ]


def test_python(served: Served, tmp_path: Path) -> None:
    check(run(served, tmp_path, sys.executable, str(EXAMPLES / "batch_openai.py")))


@pytest.mark.needs_tool("npm", "node")
def test_node(served: Served, tmp_path: Path) -> None:
    for file in ("package.json", "package-lock.json", "batch_openai.mjs"):
        shutil.copy(EXAMPLES / file, tmp_path)
    arguments = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(
        [*arguments, "--fetch-retries=1", "--fetch-timeout=20000"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    if done.returncode and any(code in done.stderr for code in UNREACHABLE):
        pytest.skip(f"npm reaches no registry: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    check(run(served, tmp_path, "node", "batch_openai.mjs"))
