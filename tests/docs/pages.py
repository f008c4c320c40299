"""The pages of the documentation that are written by hand."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_OTHERS = {"design", "reference", "site"}
"""Folders of docs/ that are no pages for users, or generated."""


def pages(*, chinese: bool) -> list[Path]:
    """Return the pages of docs/ in one language."""
    return [
        path
        for path in sorted(DOCS.rglob("*.md"))
        if path.relative_to(DOCS).parts[0] not in _OTHERS
        and path.name not in ("vllm-versions.md", "glossary.zh.md", "ray.md")
        and path.name.endswith(".zh.md") == chinese
    ]


def twin(page: Path) -> Path:
    """Return the Chinese page of an English one."""
    return page.with_name(page.name.removesuffix(".md") + ".zh.md")


def without_comments(text: str) -> str:
    """Return what a reader sees: a page without the marks of its commands."""
    return re.sub(r"^<!-- .* -->\n", "", text, flags=re.MULTILINE)
