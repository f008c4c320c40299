"""The command `qchat doctor`: run the checks and print their findings."""

import os
import sys
from typing import TYPE_CHECKING

import click

from ... import cli_options as options
from ...errors import Exit
from ...i18n import _, comma, plural

_BOLD = "1"
_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}

if TYPE_CHECKING:
    from .finding import Finding, Findings
    from .sections import Section


@click.command(
    help=_(
        """Diagnose what could keep qchat and its servers from working: machine, GPU, installation,
        settings, model, disk, ports, processes and servers. Each finding comes with a fix. Nothing
        is changed and no process is ended.

        It tests the servers that qchat started and the configured one, or only the one of --server
        or --base-url. --model is the model to check on the disk, or to send the requests to.

        Exit code: 0 without problems (warnings do not count), 1 with problems, 2 for wrong usage.
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
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N", help=_("The port to check (8000).")
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=20.0,
    metavar="SECONDS",
    help=_("Timeout of a server's responses (20)."),
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
    """Run the checks and print the findings. Raises `UsageError`."""
    from .finding import Level
    from .sections import DoctorOptions, sections

    doctor_options = DoctorOptions(os.environ, server, base_url, api_key_env, model, port, timeout)
    findings: list[tuple[str, Finding]] = []
    for section in sections(doctor_options):
        if not as_json:
            _print_heading(section, first=not findings)
        for finding in _check(section):
            findings.append((section.name, finding))
            if not as_json:
                _print_finding(finding)
    problems = sum(finding.level is Level.PROBLEM for _section, finding in findings)
    warnings = sum(finding.level is Level.WARNING for _section, finding in findings)
    if as_json:
        from ...console import json_text

        objects = [{"section": name, **finding.as_json()} for name, finding in findings]
        click.echo(json_text({"problems": problems, "warnings": warnings, "findings": objects}))
    else:
        click.echo("\n" + _summary(problems, warnings))
    return Exit.ROWS_FAILED if problems else Exit.OK


def _check(section: "Section") -> "Findings":
    """Run the section's checks. An error within is a finding, and the other sections go on."""
    from ...errors import QchatError
    from .finding import problem

    try:
        yield from section.check()
    except (OSError, QchatError) as error:
        text = _("This could not be checked: {why}").format(why=error)
        yield problem("unreadable", text, _("Fix that, then run qchat doctor again."))


def _print_heading(section: "Section", first: bool) -> None:
    click.echo(("" if first else "\n") + _styled(section.title, _BOLD))


def _print_finding(finding: "Finding") -> None:
    from ...cells import pad
    from ...sanitize import one_line

    labels = {"ok": _("ok"), "warning": _("warning"), "problem": _("problem")}
    label = _styled(pad(labels[finding.level], 8), _COLOURS[finding.level])
    click.echo(f"  {label} {one_line(finding.text)}")
    if finding.fix:
        click.echo(" " * 11 + _("Try: {fix}").format(fix=one_line(finding.fix)))


def _styled(text: str, code: str) -> str:
    from ...console import styled

    return f"\x1b[{code}m{text}\x1b[0m" if styled(sys.stdout) else text


def _summary(problems: int, warnings: int) -> str:
    if not problems and not warnings:
        return _("All is well.")
    parts = [
        plural("{n} problem", "{n} problems", problems).format(n=problems),
        plural("{n} warning", "{n} warnings", warnings).format(n=warnings),
    ]
    return comma().join(parts) + _(".")
