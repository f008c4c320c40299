"""What a person reads when a server is ready: its URL, and a command to try."""

import shlex
from pathlib import Path

import click

from ...i18n import _
from ..access import keys
from ..planning.plan import ServePlan


def print_ready(plan: ServePlan) -> None:
    """Print the server's URL, the file of its keys, and a first command, to stderr."""
    url = f"{plan.url}/v1"
    click.echo(_("{name} is ready at {url}").format(name=plan.served_name, url=url), err=True)
    command = f"qchat ask --base-url {url} Hello"
    if plan.key_source == "variable":
        command = f"qchat ask --base-url {url} --api-key-env {keys.VARIABLE} Hello"
    elif plan.key_source != "none":
        click.echo(_("Its keys are in {file}").format(file=plan.key_source), err=True)
        if not keys.is_single_key(Path(plan.key_source)):
            return
        # In a variable: other users can read command lines.
        variable = f"QCHAT_KEY=$(cat {shlex.quote(plan.key_source)})"
        command = f"{variable} qchat ask --base-url {url} --api-key-env QCHAT_KEY Hello"
    click.echo(_("Try: {command}").format(command=command), err=True)
