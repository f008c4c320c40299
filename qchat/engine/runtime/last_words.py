"""What the processes of a vLLM server say in their log when they die, and nothing before that.

A server logs for weeks: errors of single requests, text of its users, an access line for each
request. None of that may pass for the cause of a crash.
"""

import ast
import calendar
import re
import time

from .diagnosis import explain_log, last_exception

_ACCESS_LINE = re.compile(r'INFO: +\S+ (\[.*\] )?- "[^\s"]+ .* HTTP/[\d.]+" \d+')
_TAGGED = re.compile(r"^\((?P<name>\w+) pid=(?P<pid>\d+)\) ?(?P<text>.*)$")
_LEVEL = re.compile(r"^(?P<level>[A-Z]+) (?P<month>\d\d)-(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d)\b")
_RECORD = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")  # a line that begins a log record
_REQUEST_FAILED = "Exception in ASGI application"
_FAILED = re.compile(r"Failed core proc\(s\): (\{[^}]*\})")
_ENGINE = ("EngineCore", "Worker")
_API = "APIServer"
_LAST_SECONDS = 30  # before the end: the time from an engine's error to its end, with much to spare
_YEAR = 366 * 86400
_BEGINNING = calendar.timegm((2000, 1, 1, 0, 0, 0))


def without_access_lines(text: str) -> str:
    """Return a log without the lines of requests, which say what the clients sent."""
    return "\n".join(line for line in text.splitlines() if not _ACCESS_LINE.search(line))


def spoke(text: str) -> dict[int, str]:
    """Return the processes that wrote into a log, from id to name, such as ``EngineCore``."""
    matches = (_TAGGED.match(line) for line in text.splitlines())
    return {int(match["pid"]): match["name"] for match in matches if match}


def failed_processes(text: str) -> dict[str, int]:
    """Return the engine processes that vLLM found dead during its start, with their exit codes,
    which are negative for a signal."""
    matches = _FAILED.findall(text)
    try:
        codes = ast.literal_eval(matches[-1]) if matches else {}
    except (ValueError, SyntaxError):
        return {}
    return {str(name): code for name, code in codes.items() if isinstance(code, int)}


def engine_words(text: str) -> str:
    """Return the errors that the engine's processes logged right before the log's end; "" where
    they died without a word."""
    end = max((at for line in text.splitlines() if (at := _time(line)) is not None), default=0)
    words = []
    is_error = False
    for line in text.splitlines():
        match = _TAGGED.match(line)
        if match is None or not match["name"].startswith(_ENGINE):
            continue
        level = _LEVEL.match(match["text"])
        if level is not None:
            is_recent = (end - _seconds(level)) % _YEAR <= _LAST_SECONDS
            is_error = level["level"] in ("ERROR", "CRITICAL") and is_recent
        if is_error:  # a line without a level goes on with the one before
            words.append(line)
    return "\n".join(words)


def api_words(text: str, ended: time.struct_time) -> str:
    """Return what the API process said as it `ended`, in local time: the traceback at the end of
    its log, else its last line; "" where that is of a single request, or old."""
    lines = [
        match["text"] if match else line
        for line in text.splitlines()
        if not (match := _TAGGED.match(line)) or match["name"] == _API
    ]
    requests = [number for number, line in enumerate(lines) if _ACCESS_LINE.search(line)]
    lines = lines[requests[-1] + 1 :] if requests else lines  # it still served before
    records = [number for number, line in enumerate(lines) if _RECORD.match(line)]
    starts = [number for number, line in enumerate(lines) if "Traceback (most recent" in line]
    start = starts[-1] if starts else max(0, len(lines) - 1)
    # What was logged belongs to the moment of its record; Python's own last words have none.
    record = next((number for number in reversed(records) if number <= start), None)
    if record is not None and _REQUEST_FAILED in lines[record]:
        return ""
    dated = [
        at for number in records if number >= start and (at := _time(lines[number])) is not None
    ]
    end = calendar.timegm((2000, *ended[1:6])) - _BEGINNING
    if any((end - at) % _YEAR > _LAST_SECONDS for at in dated):
        return ""
    return "\n".join(lines[start:])


def cause_of(words: str) -> str | None:
    """Return the cause that a process's last words give; None where they give none."""
    return explain_log(words) or last_exception(words)


def _time(line: str) -> int | None:
    match = _TAGGED.match(line)
    level = _LEVEL.match(match["text"] if match else line)
    return None if level is None else _seconds(level)


def _seconds(level: "re.Match[str]") -> int:
    """Return the seconds of a timestamp since the beginning of its year, taken as a leap year."""
    hour, minute, second = map(int, level["clock"].split(":"))
    moment = (2000, int(level["month"]), int(level["day"]), hour, minute, second)
    return calendar.timegm(moment) - _BEGINNING
