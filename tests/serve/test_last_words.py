"""Which lines of a log tell why a server died, and which only pass through it."""

import time

import pytest

from qchat.engine.runtime.last_words import (
    api_words,
    cause_of,
    engine_words,
    failed_processes,
    spoke,
    without_access_lines,
)

PLANTED = 'INFO:     127.0.0.1:4 - "GET /health?OutOfMemoryError HTTP/1.1" 200 OK'
OWNER_LINE = '(APIServer pid=5) INFO:     127.0.0.1:4 [al ice] - "POST /v1/x HTTP/1.1" 500 OK'
PARSER = (
    "(APIServer pid=5) ERROR 11-26 15:52:00 [hermes.py:9] Error in extracting tool call.\n"
    "(APIServer pid=5) ERROR 11-26 15:52:00 [hermes.py:9] ValueError: no such tool"
)
GRAMMAR = "(EngineCore pid=7) ERROR 11-26 15:52:00 [grammar.py:3] ValueError: a bad grammar"
SILENT_END = (
    "(APIServer pid=5) WARNING 11-26 16:00:14 [core_client.py:817] engine core exited\n"
    "(APIServer pid=5) ERROR 11-26 16:00:14 [async_llm.py:906] Traceback (most recent call last):\n"
    "(APIServer pid=5) ERROR 11-26 16:00:14 [async_llm.py:906] vllm.v1.engine.exceptions."
    "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
)
FATAL = (
    "(EngineCore pid=7) ERROR 11-26 16:00:12 [core.py:1] EngineCore encountered a fatal error.\n"
    "(EngineCore pid=7) ERROR 11-26 16:00:12 [core.py:1] Traceback (most recent call last):\n"
    "(EngineCore pid=7) ERROR 11-26 16:00:12 [core.py:1] OutOfMemoryError: CUDA out of memory."
)


def test_an_engine_that_says_why() -> None:
    words = engine_words("\n".join([PARSER, GRAMMAR, FATAL, SILENT_END]))
    assert words == FATAL
    assert "GPU's memory is too small" in str(cause_of(words))


@pytest.mark.parametrize("before", [PARSER, GRAMMAR, PLANTED, OWNER_LINE])
def test_an_engine_that_dies_without_a_word(before: str) -> None:
    """Errors of minutes ago, of single requests, and what clients write are not its words."""
    assert engine_words("\n".join([before, SILENT_END])) == ""


LAST = "Traceback (most recent call last):\nOSError: [Errno 28] No space left on device"
END = time.strptime("11-26 16:00:20", "%m-%d %H:%M:%S")


def logged(clock: str) -> str:
    """The traceback of a tool parser, which the server survived."""
    lines = ("Error in extracting tool call.", *LAST.splitlines())
    return "\n".join(f"(APIServer pid=5) ERROR 11-26 {clock} [hermes.py:9] {x}" for x in lines)


def test_the_last_traceback_of_an_api_process_that_fails_itself() -> None:
    old = ["Traceback (most recent call last):", "ValueError: an old one"]
    words = api_words("\n".join([PARSER, *old, PLANTED, LAST, GRAMMAR]), END)
    assert "old one" not in words and "grammar" not in words and "health" not in words
    assert "disk is full" in str(cause_of(words))
    tagged = "\n".join(f"(APIServer pid=5) {line}" for line in LAST.splitlines())
    stopping = "(APIServer pid=5) INFO:     Finished server process [5]"
    words = api_words("\n".join([logged("15:52:00"), stopping, tagged]), END)
    assert "disk is full" in str(cause_of(words))
    assert "disk is full" in str(cause_of(api_words(logged("16:00:10"), END)))


@pytest.mark.parametrize(
    "log",
    [
        [logged("15:52:00")],
        [LAST, OWNER_LINE],
        [LAST, "(APIServer pid=5) INFO 11-26 15:52:00 [loggers.py:1] Engine 000: no throughput"],
        [OWNER_LINE, "(APIServer pid=5) ERROR:    Exception in ASGI application", LAST],
        ["(APIServer pid=5) ERROR 11-26 15:52:00 [hermes.py:9] MemoryError"],
        [OWNER_LINE],
        [],
    ],
)
def test_an_api_process_that_ends_without_a_word(log: list[str]) -> None:
    """What it survived, minutes ago or for a single request, is not why it ended."""
    assert api_words("\n".join(log), END) == ""


def test_access_lines_and_names() -> None:
    odd = PLANTED.replace("GET", "M-SEARCH")
    log = "\n".join([PLANTED, odd, OWNER_LINE, GRAMMAR, PARSER])
    assert without_access_lines(log) == "\n".join([GRAMMAR, PARSER])
    assert spoke(log) == {5: "APIServer", 7: "EngineCore"}


def test_over_new_year() -> None:
    log = (
        "(EngineCore pid=7) ERROR 12-31 23:59:59 [core.py:1] RuntimeError: the engine is dead\n"
        "(APIServer pid=5) WARNING 01-01 00:00:01 [core_client.py:817] exited"
    )
    assert cause_of(engine_words(log)) == "the engine is dead"


def test_exit_codes_of_engine_processes() -> None:
    line = "RuntimeError: … initialization failed. Failed core proc(s): {'EngineCore': -9}"
    assert failed_processes(line) == {"EngineCore": -9}
    assert failed_processes("Failed core proc(s): {broken}") == {}
    assert failed_processes("") == {}
