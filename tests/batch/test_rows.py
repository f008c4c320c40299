"""The reader: every kind of line, every kind of bad line."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qchat.batch.inputs import lines
from qchat.batch.inputs.formats.detection import InputFormat, text_format
from qchat.batch.inputs.formats.encodings import wide_encoding
from qchat.batch.inputs.formats.opening import check_readable
from qchat.batch.inputs.lines import BadLineError, LineSource, check_encoding
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.rows import InvalidRow, read_rows
from qchat.batch.inputs.template import Template
from qchat.batch.request import CHAT, COMPLETIONS, Request, RowKind, digest

from qchat.errors import UsageError
from qchat.sampling import Sampling

DEMO = RowDefaults(model="demo")


def rows(
    tmp_path: Path, *written: object, defaults: RowDefaults = DEMO
) -> list[Request | InvalidRow]:
    """Rows of a file with these lines; bytes are written as they are, the rest as JSON."""
    path = tmp_path / "in.jsonl"
    data = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in written
    ]
    path.write_bytes(b"\n".join(data))
    return list(read_rows(path, 0, defaults))


def one(tmp_path: Path, line: object, defaults: RowDefaults = DEMO) -> Request:
    (row,) = rows(tmp_path, line, defaults=defaults)
    assert isinstance(row, Request), row
    return row


def why(tmp_path: Path, line: object, defaults: RowDefaults = DEMO) -> str:
    (row,) = rows(tmp_path, line, defaults=defaults)
    assert isinstance(row, InvalidRow), row
    return row.message


USER = [{"role": "user", "content": "你好"}]


def test_a_line_decides_its_own_kind(tmp_path: Path) -> None:
    openai = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"messages": USER}}
    parsed = rows(tmp_path, openai, {"messages": USER}, {"prompt": "你好"}, "你好")
    assert [row.kind for row in parsed if isinstance(row, Request)] == list(RowKind)
    for row in parsed:
        assert isinstance(row, Request)
        assert row.body == {"messages": USER, "model": "demo"}
        assert row.endpoint == CHAT
    assert [row.custom_id for row in parsed] == ["a", "in-2", "in-3", "in-4"]
    assert [row.line for row in parsed] == [1, 2, 3, 4]


def test_equal_requests_have_equal_digests(tmp_path: Path) -> None:
    parsed = rows(tmp_path, {"prompt": "x", "label": 1}, {"label": 2, "prompt": "x"}, "x", "y")
    digests = [row.digest for row in parsed if isinstance(row, Request)]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert digest(CHAT, {"a": 1, "b": 2}) == digest(CHAT, {"b": 2, "a": 1})
    assert digest(CHAT, {"a": 1}) != digest(COMPLETIONS, {"a": 1})


def test_parameters_of_a_row_win_over_the_command_line(tmp_path: Path) -> None:
    defaults = RowDefaults(
        model="demo", system="Be kind.", sampling=Sampling(temperature=0.1, max_tokens=9)
    )
    row = one(tmp_path, {"prompt": "x", "temperature": 0.9, "label": "kept"}, defaults)
    assert row.body["temperature"] == 0.9
    assert row.body["max_tokens"] == 9
    assert row.body["messages"][0] == {"role": "system", "content": "Be kind."}
    assert "label" not in row.body
    assert isinstance(row.source, dict) and row.source["label"] == "kept"
    own = [{"role": "system", "content": "Mine."}, *USER]
    assert one(tmp_path, {"messages": own}, defaults).body["messages"] == own


def test_the_model_of_the_command_line_wins_over_a_rows(tmp_path: Path) -> None:
    line = {"prompt": "x", "model": "mine"}
    assert one(tmp_path, line).body["model"] == "demo"
    own = RowDefaults(fallback_model="only")
    assert one(tmp_path, line, own).body["model"] == "mine"
    assert one(tmp_path, "x", own).body["model"] == "only"


def test_a_row_without_a_model_stops_the_run_where_nothing_names_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"in\.jsonl, line 1 names no model; .*one of a, b"):
        rows(tmp_path, "x", defaults=RowDefaults(offered=("a", "b")))


def test_completions_take_a_prompt_and_no_stream(tmp_path: Path) -> None:
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    body = {"prompt": "Once", **stream, "max_tokens": 3}
    row = one(tmp_path, {"url": COMPLETIONS, "body": body})
    assert row.endpoint == COMPLETIONS
    assert row.body == {"prompt": "Once", "max_tokens": 3, "model": "demo"}


def test_blank_lines_bom_and_crlf_are_fine(tmp_path: Path) -> None:
    parsed = rows(tmp_path, b'\xef\xbb\xbf"a"\r', b"", b"  \t", b'"b"\r')
    assert [(row.line, row.source) for row in parsed if isinstance(row, Request)] == [
        (1, "a"),
        (4, "b"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt": "x"', "not valid JSON at column"),
        (b"\xff\xfe", "not valid UTF-8 at byte 1"),
        (b"null", "not null"),
        (b"12", "must be an object or a string, not number"),
        (b"[1]", "not array"),
        ({}, "none of 'messages', 'prompt' and 'body'"),
        ({"prompt": 3}, "'prompt' must be a string, not number"),
        ({"prompt": " "}, "the prompt is empty"),
        ("", "the prompt is empty"),
        ({"messages": "hi"}, "'messages' must be a list"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["hi"]}, r"'messages\[0\]' must be an object, not string"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r'role\' is "robot"; it must be'),
        ({"messages": [{"content": "x"}]}, r"role' is null"),
        ({"messages": [{"role": "user", "content": 3}]}, r"content' must be a string or a list"),
        ({"messages": [{"role": "user"}]}, r"content' is missing"),
        ({"body": 3}, "'body' must be an object"),
        ({"body": {"messages": USER}, "url": "/v1/images"}, "'url' is /v1/images"),
        ({"body": {"messages": USER}, "method": "GET"}, "'method' must be POST"),
        ({"body": {}, "url": COMPLETIONS}, "needs 'prompt'"),
        ({"custom_id": [7], "prompt": "x"}, "'custom_id' must be a string"),
    ],
)
def test_a_bad_line_says_what_is_wrong(tmp_path: Path, line: object, message: str) -> None:
    import re

    assert re.search(message, why(tmp_path, line)), why(tmp_path, line)


def test_a_bad_line_costs_that_line_only(tmp_path: Path) -> None:
    parsed = rows(tmp_path, "a", b"{", b"\xff", "b")
    assert [type(row) for row in parsed] == [Request, InvalidRow, InvalidRow, Request]
    assert [row.line for row in parsed] == [1, 2, 3, 4]


def test_a_line_without_end_costs_no_memory_and_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 1 << 20)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'"a"\n"' + b"x" * (3 << 20) + b'"\n"b"\n')
    with path.open("rb") as file:
        source = LineSource(file, limit=1 << 20)
        assert next(source) == b'"a"\n'
        with pytest.raises(BadLineError, match="longer than 1 MiB") as caught:
            next(source)
        assert len(caught.value.raw) <= 2000
        assert (next(source), source.number) == (b'"b"\n', 3)


def test_an_encoding_on_request(tmp_path: Path) -> None:
    gb = RowDefaults(model="demo", encoding="gb18030")
    assert one(tmp_path, '"春天"'.encode("gb18030"), gb).source == "春天"
    assert "not valid gb18030" in why(tmp_path, b'"\xff"', gb)
    signed = RowDefaults(model="demo", encoding="utf-8-sig")
    check_encoding(signed.encoding)
    for data in (b'\xef\xbb\xbf"a"', b'"a"'):
        assert one(tmp_path, data, signed).source == "a"
    with pytest.raises(UsageError, match="iconv"):
        check_encoding("cp037")
    with pytest.raises(UsageError, match="no encoding 'klingon'"):
        check_encoding("klingon")


def test_a_column_of_an_answers_name_stops_the_run(tmp_path: Path) -> None:
    line = {"prompt": "x", "output": "y"}
    with pytest.raises(UsageError, match=r"line 1 has a column 'output'.*--prefix"):
        rows(tmp_path, line)
    one(tmp_path, line, RowDefaults(model="demo", prefix="new_"))


def test_a_template_fills_in_columns(tmp_path: Path) -> None:
    defaults = RowDefaults(model="demo", template=Template.parse("{{n}} {n}: {text}"))
    row = one(tmp_path, {"n": 3, "text": "你好 {n}", "temperature": 0}, defaults)
    assert row.body["messages"] == [{"role": "user", "content": "{n} 3: 你好 {n}"}]
    assert "temperature" not in row.body and "n" not in row.body
    assert "no column 'text'" in why(tmp_path, {"n": 3}, defaults)
    for text in ("nothing", "{", "{a.b}", "{a[0]}", "{a!r}", "{}"):
        with pytest.raises(UsageError, match="--template"):
            Template.parse(text)


def test_a_file_that_is_no_text_is_refused_before_anything_starts(tmp_path: Path) -> None:
    cases = {
        b"\x1f\x8b\x08\0": "gzip",
        b"PAR1": "Parquet",
        b"\0\1\2": "binary.* convert it to JSON lines",
        b"SQLite format 3\0": "sqlite3 -csv",
        b"PK\x03\x04": "unzip -p",
        **{pickle.dumps(["a"], protocol): "read_pickle" for protocol in range(2, 6)},
    }
    for data, word in cases.items():
        path = tmp_path / "in.jsonl"
        path.write_bytes(data)
        with pytest.raises(UsageError, match=word):
            check_readable(path)
    with pytest.raises(UsageError, match="is a folder"):
        check_readable(tmp_path)
    with pytest.raises(UsageError, match="There is no file"):
        check_readable(tmp_path / "missing")


def test_a_file_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_args: object, **_kwargs: object) -> None:  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UsageError, match="No permission to read"):
        check_readable(tmp_path / "in.jsonl")


def test_nan_in_a_line_hides_no_fault_of_it(tmp_path: Path) -> None:
    for line in (b'{"prompt": "\\ud800"}', b'{"prompt": "\\ud800", "x": NaN}'):
        assert "surrogate" in why(tmp_path, line)
    for levels in (700, 100_000):
        deep = b'{"prompt": "a", "x": NaN, "y": ' + b"[" * levels + b"]" * levels + b"}"
        assert "nested too deeply" in why(tmp_path, deep)
    number = one(tmp_path, b'{"prompt": "a", "x": NaN, "y": 12345678901234567890123}')
    assert number.source == {"prompt": "a", "x": None, "y": 12345678901234567890123}


def test_what_could_not_be_written_again_is_a_bad_line(tmp_path: Path) -> None:
    deep = b'{"prompt": "x", "column": ' + b"[" * 300 + b"]" * 300 + b"}"
    assert "nested too deeply" in why(tmp_path, deep)
    one(tmp_path, deep.replace(b"[" * 300, b"[" * 200).replace(b"]" * 300, b"]" * 200))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LINE = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "messages": JSON,
            "prompt": JSON,
            "body": JSON,
            "custom_id": JSON,
            "url": st.sampled_from([CHAT, COMPLETIONS]) | JSON,
            "model": JSON,
            "chat_template_kwargs": JSON,
            "temperature": JSON,
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINE, max_size=8), st.booleans())
def test_any_bytes_give_rows_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes], own_model: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "in.jsonl"
    path.write_bytes(b"\n".join(written))
    sampling = Sampling(preset="qwen3-thinking", stop=("x",))
    defaults = RowDefaults(fallback_model="demo") if own_model else DEMO
    defaults = RowDefaults(defaults.model, defaults.fallback_model, system="s", sampling=sampling)
    try:
        parsed = list(read_rows(path, 0, defaults))
    except UsageError:
        return
    data = path.read_bytes()
    if wide_encoding(data) is not None:
        return  # zero bytes made it UTF-16, whose lines end otherwise
    if text_format(data, path.name, whole=True).format is not InputFormat.JSON_LINES:
        return  # places are not lines there
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert [row.line for row in parsed] == [n for n, line in enumerate(lines, 1) if line.strip()]
    for row in parsed:
        if isinstance(row, Request):
            assert isinstance(row.body["model"], str)
            assert json.loads(json.dumps(row.body)) is not None


def test_a_line_in_another_encoding_is_recorded_with_replacements(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'"ok"\n"bad \xff"\n')
    row = list(read_rows(path, 0, DEMO))[1]
    assert isinstance(row, InvalidRow)
    assert row.source == '"bad \ufffd"'
