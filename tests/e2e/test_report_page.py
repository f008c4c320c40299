"""The page of `--report` in a real Chromium."""

from pathlib import Path

import pytest

from qchat import cli

from ..batch.reports import HOSTILE, row, write_lines
from .browser import chromium


@pytest.mark.needs_tool("chromium")
async def test_the_page_works_and_runs_nothing_of_a_row(tmp_path: Path) -> None:
    rows = [row(n, prompt=f"{HOSTILE} {n}", output=HOSTILE) for n in range(1, 21)]
    write_lines(tmp_path / "out.jsonl", rows)
    page = tmp_path / "report.html"
    args = ["batch", "--report", str(page), "--of", str(tmp_path / "out.jsonl")]
    assert cli.run(args) == 0
    async with chromium(tmp_path) as tab:
        await tab.call("Page.navigate", url=page.as_uri())
        await tab.wait_for("document.readyState === 'complete'")
        assert await tab.evaluate("document.title") == "Report: out.jsonl"
        # The policy lets the page's own style and script through, and nothing complains.
        assert (
            await tab.evaluate("getComputedStyle(document.querySelector('.tiles')).display")
            == "grid"
        )
        assert await tab.evaluate("document.getElementById('theme').hidden") is False
        assert await tab.evaluate("document.querySelectorAll('img, iframe, object, a').length") == 0
        background = "getComputedStyle(document.body).backgroundColor"
        first = await tab.evaluate(background)
        await tab.evaluate("document.getElementById('theme').click()")
        assert await tab.evaluate(background) != first
        find = "var s = document.getElementById('search'); s.value = 'onerror'"
        await tab.evaluate(f"{find}; s.dispatchEvent(new Event('input'))")
        assert await tab.evaluate("document.getElementById('matches').textContent") == "20 / 20"
        await tab.evaluate("s.value = 'nowhere'; s.dispatchEvent(new Event('input'))")
        assert await tab.evaluate("document.getElementById('matches').textContent") == "0 / 20"
        assert not tab.failed
        assert {url for url in tab.urls if not url.startswith("file:")} == set()
        # A script that a row had smuggled in would not run.
        await tab.evaluate(
            "var e = document.createElement('script'); e.textContent = \"document.title='x'\"; "
            "document.body.append(e)"
        )
        assert await tab.evaluate("document.title") == "Report: out.jsonl"
