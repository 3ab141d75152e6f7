"""``adapter completion``."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the script that completes commands, options, backends and runs in your shell.

    \b
    Examples:
      adapter completion bash >~/.local/share/bash-completion/completions/adapter
      adapter completion zsh >~/.zfunc/_adapter
      adapter completion fish >~/.config/fish/completions/adapter.fish
    """
    from click.shell_completion import get_completion_class

    from adapter.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "adapter", "_ADAPTER_COMPLETE").source())
