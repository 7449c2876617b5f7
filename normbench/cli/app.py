"""The Typer application, its one handler of errors, and the options that several commands share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from normbench._version import __version__
from normbench.errors import ExitCode, NormbenchError

BROKEN_PIPE = 141  # the exit code that a shell reports for a program whose reader is gone


class Group(TyperGroup):
    """Runs the commands. What they raise becomes a sentence on stderr and an exit code, only here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command. Unexpected exceptions keep their traceback: they are bugs."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except NormbenchError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(int(error.exit_code)) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit goes there
            raise typer.Exit(BROKEN_PIPE) from None


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would double the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"normbench {__version__}")
        raise typer.Exit


@app.callback()
def normbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train whole learning-rate sweeps of normalization layers at once, and see which layer helps.

    \b
    Start with:  normbench init && normbench run first_look.yaml
    """


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave Python's search for cyclic garbage out of a short piece of work.

    Each pass goes through all objects of torch; in a large plan they took an eighth of the time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Device(str, Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Executor(str, Enum):
    """How the runs of a stack are computed."""

    auto = "auto"
    vectorized = "vectorized"
    looped = "looped"


class Launcher(str, Enum):
    """Where the stacks are trained."""

    auto = "auto"
    local = "local"
    processes = "processes"


class Retry(str, Enum):
    """Which runs without a result are trained again."""

    crashed = "crashed"


Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG", help="YAML files; each is one experiment.")]
Results = Annotated[
    Path, typer.Argument(metavar="RESULTS", help="An experiment's folder, or a folder of them.")
]
Overrides = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a dotted key of the config, such as model.depth=5 or optimizer.lr=[0.1,1]; repeatable.",
    ),
]
DataDir = Annotated[
    Optional[Path],
    typer.Option(help="Folder of the data sets. Default: $NORMBENCH_DATA, or ~/.cache/normbench/data."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to train; auto takes a GPU if there is one.")]
ExecutorOption = Annotated[
    Executor, typer.Option(help="How the runs of a stack are computed; auto follows a fixed rule.")
]
Plugins = Annotated[
    Optional[list[Path]],
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file that registers your own normalization, model, activation or data set; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with JSON on stdout.")]
