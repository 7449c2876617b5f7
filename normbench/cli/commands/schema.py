"""`normbench schema`: print the JSON schema of configs."""

from __future__ import annotations

import typer

from normbench.cli.options import Plugins


def schema(plugin: Plugins = None) -> None:
    """Print the JSON schema of configs, which editors use to complete and check them.

    \b
    Example:  normbench schema > normbench.schema.json
    """
    import json

    from normbench.config import json_schema
    from normbench.plugins import load_plugins

    load_plugins(plugin or ())

    typer.echo(json.dumps(json_schema(), indent=2))
