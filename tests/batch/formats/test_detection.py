"""What a file holds is recognised by its content."""

from pathlib import Path

import pytest
from qchat.batch.inputs.formats.detection import Detected, InputFormat, text_format

from .reading import records, values

F = InputFormat


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        ('{"prompt": "a"}\n', "x.jsonl", F.JSON_LINES),
        ('{"prompt": "a"}\n', "x.csv", F.JSON_LINES),
        ('{"prompt": "a"}\n', "x.txt", F.JSON_LINES),
        ('{"score": NaN}\n{"score": 1}\n', "x", F.JSON_LINES),
        ('"a"\n\n{\n"b"\n', "x.jsonl", F.JSON_LINES),
        ('"a"\n"b"\n', "x", F.JSON_LINES),
        ('{"a": 1,}\n{"a": 2}\n', "x.jsonl", F.JSON_LINES),
        ("\n# a heading\n", "x.jsonl", F.JSON_LINES),
        ("", "x", F.JSON_LINES),
        ('{\n{"prompt": "cut\n"b"\n', "x.jsonl", F.JSON_LINES),
        ('{\n"a"\n"b"\n', "x.jsonl", F.JSON_LINES),
        ('{\n  "prompt": "a"\n}\n', "x.jsonl", F.JSON_VALUES),
        ('{\n\n  "prompt": "a", "n', "x.jsonl", F.JSON_VALUES),
        ('{\n  "prompt": "a"', "x.json", F.JSON_VALUES),
        ('[{"prompt": "a"}, {"prompt": "b"}]', "x.json", F.JSON_ARRAY),
        ('[\n  {"prompt": "a"}\n]', "x.jsonl", F.JSON_ARRAY),
        ('[{"a": 1}]\n[{"a": 2}]\n', "x.jsonl", F.JSON_LINES),
        ("[1, 2]\n", "x.jsonl", F.JSON_LINES),
        ("id,text\n1,a\n", "x.csv", F.DELIMITED),
        ("text\na\n", "x.csv", F.DELIMITED),
        ("id;text\n1;a\n2;b\n", "x", F.DELIMITED),
        ('"id","text"\n1,"a"\n', "x", F.DELIMITED),
        ("What is vLLM?\nWhy, though?\n", "x", F.TEXT),
        ("What is vLLM?\n", "x.txt", F.TEXT),
        ("[EN] hello\n[DE] hallo\n", "x.txt", F.TEXT),
        ("{name}, write to me\n", "x.txt", F.TEXT),
        ('["Quoted" and not closed.\n', "x.txt", F.TEXT),
        ('What does this do?\n{"a": 1}\nWhy?\n', "x.txt", F.TEXT),
        ("[1] a footnote\n[2] another\n", "x.md", F.TEXT),
        ('id,text\n1,"f()\n{}\n"\n', "x.csv", F.DELIMITED),
        ("[id],text\n1,a\n", "x.csv", F.DELIMITED),
        ('{"prompt": "a"}\n{"prompt": b}\n{"prompt": "c"}\n', "x.txt", F.JSON_LINES),
        ('[\n  {"prompt": "a"}\n]\n', "x.txt", F.JSON_ARRAY),
        ('[\n  {"prompt": "a"},\n  {"pro', "x.txt", F.JSON_ARRAY),
        ('{\n  "prompt": "a"\n}\n{\n  "prompt": "b"\n}\n', "x.txt", F.JSON_VALUES),
    ],
)
def test_the_format_of_a_text(head: str, name: str, kind: InputFormat) -> None:
    assert text_format(head.encode(), name, whole=True).format is kind


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_recognised(delimiter: str) -> None:
    head = f"id{delimiter}text\n1{delimiter}a b\n2{delimiter}c d\n".encode()
    assert text_format(head, "x.csv", whole=True) == Detected(F.DELIMITED, delimiter)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.json"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str, name: str) -> None:
    texts = {
        "x.jsonl": '{"prompt":"春天"}\r\n{"prompt":"b"}\r\n',
        "x.csv": "prompt,n\r\n春天,1\r\nb,2\r\n",
        "x.json": '[\n{"prompt":"春天"},\n{"prompt":"b"}\n]',
    }
    path = tmp_path / name
    path.write_bytes(texts[name].encode(encoding))
    # UTF-32 without a mark is nobody's.
    assert [row["prompt"] for row in values(path)] == ["春天", "b"]


def test_zero_bytes_cost_the_line_that_they_are_in(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"prompt":"a"}\n' + bytes(5000) + b'\n{"prompt":"b"}\n')
    with pytest.raises(ValueError):
        records(path)
    places = {1: 1, 2: 3, 3: 3}
    assert [number for number, _value in records(path, next_line=places.get)] == [1, 3]
