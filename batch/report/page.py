"""The page: one HTML file that asks for nothing else."""

import base64
import hashlib
import time
from collections.abc import Iterator

from ... import __version__
from ...i18n import _
from ..inputs.samples import split_key
from ..quality import INVALID, Quality
from ..run_stats import duration
from .assets import SCRIPT, STYLE
from .figures import figures
from .html import Child, Html, join, tag
from .labels import labels
from .probabilities import probabilities
from .reading import RunReport
from .rows import errors, sample_rows, slowest_rows
from .timeline import active_seconds

MAX_BYTES = 2_000_000
"""The page is smaller than this."""

_QUALITIES = (Quality.CUT.value, Quality.EMPTY.value, Quality.LOOPED.value, INVALID)


def page(report: RunReport) -> bytes:
    """Return the page, in UTF-8."""
    for limit in (1 << 20, 600, 200, 60):
        data = _page(report, limit).encode("utf-8", "replace")
        if len(data) < MAX_BYTES:
            break
    return data


def _page(report: RunReport, limit: int) -> Html:
    """Return the page; excerpts have at most `limit` characters."""
    sections = [
        _head(report),
        _tiles(report),
        figures(report),
        probabilities(report, limit),
        labels(report),
        errors(report, limit),
        slowest_rows(report, limit),
        sample_rows(report, limit),
        _settings(report),
    ]
    policy = (
        f"default-src 'none'; style-src {_source(STYLE)}; script-src {_source(SCRIPT)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", _("Report: {name}").format(name=report.name)),
        tag("style", Html(STYLE)),
    )
    body = tag("body", tag("main", sections), tag("script", Html(SCRIPT)))
    # The language of the texts of the page itself; those of rows have any.
    html = tag("html", head, body, lang=_("en"))
    return Html(f"<!doctype html>\n{html}\n")


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _head(report: RunReport) -> Html:
    manifest = report.manifest
    parts = [", ".join(report.models)] if report.models else []
    if manifest is not None:
        states = {
            "running": _("running"),
            "finished": _("finished"),
            "interrupted": _("interrupted"),
            "lost": _("stopped because the engine or server failed"),
        }
        parts += [states.get(manifest.state, manifest.state), manifest.engine]
        parts.append(f"{manifest.created} – {manifest.updated}")
    button = tag("button", _("Light or dark"), id="theme", type="button", hidden=True)
    line = tag("p", " · ".join(filter(None, parts)), class_="soft")
    return join([tag("div", tag("h1", report.name), button, class_="top"), line])


def _tiles(report: RunReport) -> Html:
    return tag("div", list(_tile_list(report)), class_="tiles")


def _tile_list(report: RunReport) -> Iterator[Html]:
    manifest = report.manifest
    rows = max(report.answered + report.failed, 0 if manifest is None else manifest.rows)
    yield _tile(rows, _("rows"))
    yield _tile(report.answered, _("answered"))
    yield _tile(report.failed, _("failed"), bad=report.failed > 0)
    if (still := rows - report.answered - report.failed) > 0:
        yield _tile(still, _("still open"))
    names = {"cut": _("cut"), "empty": _("empty"), "looped": _("looped"), INVALID: _("invalid")}
    for name in _QUALITIES:
        n = report.qualities.get(name, 0)
        yield _tile(n, names[name], bad=n > 0)
    yield _tile(report.prompt_tokens, _("prompt tokens"))
    yield _tile(report.completion_tokens, _("completion tokens"))
    if report.cached_tokens:
        yield _tile(report.cached_tokens, _("of the prompts cached"))
    if report.retried:
        yield _tile(report.retried, _("rows asked more than once"))
    spans = report.timeline.spans()
    if spans and (seconds := active_seconds(spans)) >= 1:
        yield _tile(duration(seconds), _("time"))
        timed = sum(span.rows for span in spans)
        tokens = sum(span.tokens for span in spans)
        yield _tile(f"{timed / seconds:,.1f}", _("rows/s"))
        yield _tile(f"{tokens / seconds:,.0f}", _("tokens/s"))


def _tile(value: int | str, label: str, *, bad: bool = False) -> Html:
    value = f"{value:,}" if isinstance(value, int) else value
    return tag(
        "div", tag("b", value, class_="bad" if bad else None), tag("span", label), class_="tile"
    )


def _settings(report: RunReport) -> Html:
    manifest = report.manifest
    rows: list[Child] = []
    if manifest is not None:
        names = list(dict.fromkeys(split_key(key)[0] for key in manifest.inputs))
        values = {**manifest.settings, _("inputs"): ", ".join(names[:50])}
        rows = [
            tag("tr", tag("td", str(name)), tag("td", tag("pre", str(value)[:2000])))
            for name, value in values.items()
        ]
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    text = _("Made by qchat {version} on {time}. Rows are shown as they are, and are never run.")
    note = tag("p", text.format(version=__version__, time=made), class_="soft")
    unread: Child = None
    if report.unread:
        text = _("{n:,} lines could not be read.")
        unread = tag("p", text.format(n=report.unread), class_="bad")
    table = tag("table", rows) if rows else None
    return join([tag("h2", _("Settings")), table, unread, note])
