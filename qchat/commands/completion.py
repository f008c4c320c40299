"""`qchat completion`: the script that teaches a shell qchat's commands and options."""

import click

from ..i18n import _


@click.command(
    help=_("""Print the completion script for a shell."""),
    epilog=_(
        """\b
To install:
  bash, with the package bash-completion (create the folder first):
    qchat completion bash > ~/.local/share/bash-completion/completions/qchat
  bash without it, in ~/.bashrc:
    eval "$(qchat completion bash)"
  zsh (create the folder first):
    qchat completion zsh > ~/.zfunc/_qchat
  and in ~/.zshrc:
    fpath+=(~/.zfunc); autoload -Uz compinit && compinit
  fish:
    qchat completion fish > ~/.config/fish/completions/qchat.fish
Then start a new shell.
"""
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script."""
    from click.shell_completion import get_completion_class

    group = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(group, {}, "qchat", "_QCHAT_COMPLETE").source())
