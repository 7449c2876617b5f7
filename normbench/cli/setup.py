"""The commands that help to write a config: init and schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.app import Plugins
from normbench.cli.show import say
from normbench.errors import NormbenchError


def init(
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="See `normbench list recipes`.")
    ] = "first_look",
    out: Annotated[
        Optional[Path], typer.Option("--out", help="File to write; default: RECIPE.yaml here.")
    ] = None,
) -> None:
    """Write a commented config to start from; a file that is there already stays as it is.

    \b
    Example:  normbench init first_look --out mine.yaml
    """
    from normbench.recipes import recipe_text

    text = recipe_text(recipe)
    path = out or Path(f"{recipe}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise NormbenchError(
            f"{path}: is there already and stays as it is; name another file with --out"
        ) from None
    except OSError as error:
        raise NormbenchError(
            f"{path}: cannot be written ({error.strerror}); name another file with --out"
        ) from error
    typer.echo(str(path))
    say(f"look at it with:  normbench plan {path}\ntrain it with:    normbench run {path}")


def schema(plugin: Plugins = None) -> None:
    """Print the JSON schema of configs, from which editors complete and check.

    \b
    Example:  normbench schema > normbench.schema.json
    """
    import json

    from normbench.config import json_schema
    from normbench.plugins import load_plugins

    load_plugins(plugin or ())

    typer.echo(json.dumps(json_schema(), indent=2))
