"""The HTML page of a conversation: whole, self-contained, and inert."""

import html.parser
from pathlib import Path

import pytest

from qchat.message_state import MessageState
from qchat.store import Store, open_store
from qchat.store.exports import export_conversations

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) <javascript:x>",
    "![p](http://tracker.example/p.png)",
    '```"><script>x</script>\n</code></pre><script>y</script>\n```',
    "</article></body><script>z</script>\x1b]0;title\x07",
    '"onmouseover="x',
]
PICTURE = "data:image/png;base64,iVBORw0KGgo="


class Page(html.parser.HTMLParser):
    """Collects the tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def text(tmp_path: Path) -> str:
    with open_store(tmp_path) as store:
        return _export(store)


def _export(store: Store) -> str:
    made = store.conversations.create(title=HOSTILE[0], system=HOSTILE[1])
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "http://tracker.example/p.png"}},
        {"type": "image_url", "image_url": {"url": 'data:image/svg+xml;base64,PHN2Zz4="><x'}},
    ]
    store.messages.add(made.id, "user", "\n".join(HOSTILE), extra={"content": parts})
    answer = store.messages.begin(made.id, model="m<b>")
    store.messages.finish(
        answer.id,
        MessageState.STOPPED,
        "\n\n".join([*HOSTILE, "| a | b | c |\n|---|:-:|--:|\n| **1** | `<i>` | 2 |"]),
        HOSTILE[0],
    )
    return "".join(export_conversations(store, [made.id], "html", reasoning=True))


def test_nothing_in_it_runs_or_is_fetched(text: str) -> None:
    page = Page(text)
    names = {name for name, _attributes in page.tags}
    assert names.isdisjoint({"script", "iframe", "object", "link", "x", "i"})
    for name, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("href", "src"):
            value = attributes.get(key) or ""
            assert not value.lower().startswith(("javascript:", "data:text")), value
        assert name != "img" or attributes["src"] == PICTURE
    assert "\x1b" not in text
    assert page.open == []


def test_it_is_whole(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!doctype html>")
    policy = next(a for n, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy["content"] or "")
    assert [name for name, _a in page.tags].count("article") == 2
    assert "<strong>1</strong>" in text and "&lt;i&gt;" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "(stopped here)" in text and "<summary>Thought</summary>" in text


def test_columns_are_aligned_by_what_the_policy_allows(text: str) -> None:
    page = Page(text)
    assert not [attributes for _name, attributes in page.tags if "style" in attributes]
    cells = [attributes.get("class") for name, attributes in page.tags if name in ("th", "td")]
    assert cells == [None, "align-center", "align-right"] * 2
    for name in ("align-center", "align-right"):
        assert f".{name} {{ text-align" in text
