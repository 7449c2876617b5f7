"""The command line: parses, calls the library, prints, ends with an exit code.

Nothing heavy is imported here or at the head of the verbs' modules, so that help and completion are quick.
"""

from __future__ import annotations

import atexit
import gc
import sys

from normbench.cli.app import app
from normbench.cli.judge import compare, verify
from normbench.cli.look import data, list_, plot, status
from normbench.cli.setup import init, schema
from normbench.cli.train import plan, run

__all__ = ["app", "main"]

app.command()(run)
app.command()(plan)
app.command()(status)
app.command()(plot)
app.command()(verify)
app.command()(compare)
app.command()(data)
app.command("list")(list_)
app.command()(init)
app.command()(schema)


def main() -> None:
    """Run the command line (the console script `normbench`)."""
    atexit.register(_leave)
    app(prog_name="normbench")


def _leave() -> None:
    """Skip the final garbage collection; it takes about 1 s once torch is loaded.

    Not where triton was loaded, as it is for training: its library complains of what is left.
    """
    if "triton" not in sys.modules:
        gc.freeze()
