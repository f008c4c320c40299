"""The documentation site, built as `make docs` builds it."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from tests import tools

from .pages import ROOT

IGNORED = shutil.ignore_patterns("__pycache__", "reference")


class Addresses(HTMLParser):
    """Collects what a page loads and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        elif tag in ("script", "img", "link"):
            self.loaded.append(values.get("src") or values.get("href") or "")


def test_the_site_is_built_in_both_languages_and_its_links_hold(tmp_path: Path) -> None:
    tools.require_module("mkdocs")
    tools.require_module("material")
    tools.require_module("mkdocs_static_i18n")
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "mkdocs.yml", source)
    shutil.copytree(ROOT / "docs", source / "docs", ignore=IGNORED)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    site = tmp_path / "site"
    for address in ("index.html", "reference/batch.html", "explanation/journal.html"):
        english = (site / address).read_text("utf-8")
        chinese = (site / "zh" / address).read_text("utf-8")
        assert len(re.findall("[一-鿿]", chinese)) > 200 > len(re.findall("[一-鿿]", english))
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue  # it is shown at any address, so its links are absolute
        addresses = Addresses()
        addresses.feed(page.read_text("utf-8"))
        assert [url for url in addresses.loaded if urlsplit(url).netloc] == []  # nothing from afar
        for link in addresses.links:
            parts = urlsplit(urljoin(page.as_uri(), link))
            if parts.scheme == "file":
                assert Path(parts.path).exists(), f"{page}: {link}"
