"""What `make demo` prints."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = str(Path(__file__).resolve().parent.parent / "examples" / "show_answers.py")


def test_answers_are_printed_safely(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Hi\x1b[31m", "output": "a\x1b]0;x\x07b\nsecond", "reasoning": "hmm"},
        {"messages": [{"role": "user", "content": "two"}], "output": ["x", "y"]},
        {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "tool"}]}],
            "output": None,
            "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}],
        },
        {
            "custom_id": "c1",
            "response": {"body": {"choices": [{"message": {"content": "from OpenAI"}}]}},
        },
        {"prompt": "long", "output": "word " * 1000},
    ]
    file = tmp_path / "a.results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run([sys.executable, SCRIPT, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for part in ("▸ Hi", "  ab\n  second\n", "  x\n", "  y\n", "calls weather({})"):
        assert part in done.stdout
    assert "▸ c1\n  from OpenAI\n" in done.stdout
    assert "more characters)" in done.stdout
    assert "6 answers" in done.stdout


def test_answers_that_are_no_json_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "a", "output": "b"}\n{"pro')
    done = subprocess.run([sys.executable, SCRIPT, str(file)], capture_output=True, text=True)
    assert (done.returncode, "line 2 is not JSON" in done.stderr) == (2, True)
