"""`qchat doctor`: what could keep things from working here, and what to do about it."""

import os
import sys
from typing import TYPE_CHECKING

import click

from ... import cli_options as options
from ...errors import Exit
from ...i18n import _, plural

_BOLD = "1"
_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}

if TYPE_CHECKING:
    from .finding import Finding, Findings
    from .sections import Section


@click.command(
    help=_(
        """Look for what could keep qchat and its servers from working: machine, GPU, install,
        settings, model, disk, ports, processes and servers. Each finding comes with what to do.
        Nothing is changed and no process is ended.

        It asks the servers that qchat started and the one that is configured, or with --server or
        --base-url that one. --model is the model to be looked at on the disk, or the one to ask.

        Exit code: 0 without problems (warnings are none), 1 with, 2 for wrong usage.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat doctor
  qchat doctor --model Qwen3-8B --port 8001
  qchat doctor --base-url https://lab.example/v1 --api-key-env LAB_API_KEY
  qchat doctor --json | jq -r '.findings[] | select(.level != "ok") | .text'
"""
    ),
)
@options.server_options
@click.option("--port", type=click.IntRange(1, 65535), help=_("The port to be used (8000)."))
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=20.0,
    metavar="SECONDS",
    help=_("How long a server may be silent (20)."),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object at the end."))
def doctor(
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    model: str | None,
    port: int | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Look, say, count. Raises `UsageError`."""
    from .finding import Level
    from .sections import DoctorOptions, sections

    asked = DoctorOptions(os.environ, server, base_url, api_key_env, model, port, timeout)
    found: list[tuple[str, Finding]] = []
    for section in sections(asked):
        if not as_json:
            _heading(section, first=not found)
        for finding in _safely(section):
            found.append((section.name, finding))
            if not as_json:
                _say(finding)
    problems = sum(finding.level is Level.PROBLEM for _section, finding in found)
    warnings = sum(finding.level is Level.WARNING for _section, finding in found)
    if as_json:
        from ...console import json_text

        listed = [{"section": name, **finding.as_json()} for name, finding in found]
        said = {"problems": problems, "warnings": warnings, "findings": listed}
        click.echo(json_text(said))
    else:
        click.echo("\n" + _sum(problems, warnings))
    return Exit.ROWS_FAILED if problems else Exit.OK


def _safely(section: "Section") -> "Findings":
    """What the section finds; what it can't look at is a finding, too, and the rest goes on."""
    from ...errors import QchatError
    from .finding import problem

    try:
        yield from section.look()
    except (OSError, QchatError) as error:
        text = _("This could not be looked at: {why}").format(why=error)
        yield problem("unreadable", text, _("Mend that, and run qchat doctor again."))


def _heading(section: "Section", first: bool) -> None:
    click.echo(("" if first else "\n") + _in_style(section.title, _BOLD))


def _say(finding: "Finding") -> None:
    from ...sanitize import one_line

    words = {"ok": _("ok"), "warning": _("warning"), "problem": _("problem")}
    label = _in_style(words[finding.level].ljust(8), _COLOURS[finding.level])
    click.echo(f"  {label} {one_line(finding.text)}")
    if finding.fix:
        click.echo(" " * 11 + _("Try: {what}").format(what=one_line(finding.fix)))


def _in_style(text: str, code: str) -> str:
    from ...console import styled

    return f"\x1b[{code}m{text}\x1b[0m" if styled(sys.stdout) else text


def _sum(problems: int, warnings: int) -> str:
    if not problems and not warnings:
        return _("All is well.")
    parts = [
        plural("{n} problem", "{n} problems", problems).format(n=problems),
        plural("{n} warning", "{n} warnings", warnings).format(n=warnings),
    ]
    return ", ".join(parts) + "."
