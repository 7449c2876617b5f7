"""The Typer application, and the one place that turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from normbench._version import __version__
from normbench.cli.usage import explain
from normbench.errors import ExitCode, NormbenchError

UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EFBIG)
BROKEN_PIPE = 141  # the exit code that a shell reports for a program whose reader is gone


def _let_stdout_go() -> None:
    """Write to nowhere what stdout still holds: Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Group(TyperGroup):
    """Runs the commands. Only here do exceptions become a sentence on stderr and an exit code."""

    _words: Sequence[str] = ()  # the command and its arguments

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the chosen command; keep the words, for messages."""
        self._words = tuple(args)
        return super().resolve_command(ctx, args)

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
            _let_stdout_go()
            raise typer.Exit(BROKEN_PIPE) from None
        except OSError as error:  # of a full disk or a closed terminal behind stdout, which has no name
            if error.errno not in UNWRITABLE or error.filename is not None:
                raise
            typer.echo(f"the answer cannot be printed: {error.strerror}", err=True)
            _let_stdout_go()
            raise typer.Exit(int(ExitCode.USAGE)) from None
        except Exception as error:
            if getattr(error, "exit_code", None) == ExitCode.USAGE and hasattr(error, "format_message"):
                explain(error, self._words)
            raise


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
