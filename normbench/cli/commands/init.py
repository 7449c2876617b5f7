"""`normbench init`: write a config to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.output import say
from normbench.errors import NormbenchError


def init(
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="See `normbench list recipes`.")
    ] = "first_look",
    out: Annotated[
        Optional[Path], typer.Option("--out", help="File to write; default: RECIPE.yaml here.")
    ] = None,
) -> None:
    """Write a commented config to start from. An existing file stays as it is.

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
