"""What MkDocs runs while it builds the site: adds the command reference, and mends links.

Pages link to files of the repository that are no pages. On the site such a link goes to the
repository where `repo_url` names one; else its text stays.
"""

import functools
import json
import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"en": "", "zh_CN": ".zh"}
"""qchat's languages, and what the names of pages in them end with."""

_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


@functools.cache
def reference(language: str) -> dict[str, str]:
    """Return the pages of the command reference in a language."""
    done = subprocess.run(
        [sys.executable, "-m", "docs.site.command_reference"],
        cwd=ROOT,
        env={**os.environ, "QCHAT_LANG": language},
        stdout=subprocess.PIPE,
        check=True,
    )
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


def on_pre_build(config: MkDocsConfig) -> None:
    """Write the command reference in every language; git ignores it."""
    folder = Path(config.docs_dir) / "reference"
    folder.mkdir(exist_ok=True)
    for language, suffix in LANGUAGES.items():
        for name, text in reference(language).items():
            page = folder / f"{name}{suffix}.md"
            # `mkdocs serve` builds again when a file changes.
            if not page.exists() or page.read_text("utf-8") != text:
                page.write_text(text, "utf-8")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend the links that leave the folder of the documentation."""
    folder = posixpath.dirname(page.file.src_uri)

    def mend(link: "re.Match[str]") -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        if target.startswith("docs/") and "docs/site/" not in target:
            return link[0]
        if not config.repo_url:
            return link[1]
        return f"[{link[1]}]({config.repo_url.rstrip('/')}/blob/main/{target}{link[3] or ''})"

    return _LINK.sub(mend, markdown)
