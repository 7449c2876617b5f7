"""The command line: parses arguments, calls the library, prints, and ends with an exit code.

The modules of the commands import torch, pandas and the like inside functions, so that help and completion
are quick.
"""

from __future__ import annotations

import atexit
import gc
import sys

from normbench.cli.app import app
from normbench.cli.commands.compare import compare
from normbench.cli.commands.data import data
from normbench.cli.commands.export import export
from normbench.cli.commands.init import init
from normbench.cli.commands.list import list_
from normbench.cli.commands.merge import merge
from normbench.cli.commands.plan import plan
from normbench.cli.commands.plot import plot
from normbench.cli.commands.query import query
from normbench.cli.commands.report import report
from normbench.cli.commands.run import run
from normbench.cli.commands.schema import schema
from normbench.cli.commands.scorecard import scorecard
from normbench.cli.commands.show import show
from normbench.cli.commands.status import status
from normbench.cli.commands.summary import summary
from normbench.cli.commands.table import table
from normbench.cli.commands.verify import verify
from normbench.cli.streams import prepare

__all__ = ["app", "main"]

app.command()(run)
app.command()(plan)
app.command()(status)
app.command()(merge)
app.command()(summary)
app.command()(show)
app.command()(query)
app.command()(plot)
app.command()(report)
app.command()(verify)
app.command()(compare)
app.command()(scorecard)
app.command()(table)
app.command()(export)
app.command()(data)
app.command("list")(list_)
app.command()(init)
app.command()(schema)


def main() -> None:
    """Run the command line (the console script `normbench`)."""
    prepare()
    atexit.register(_leave)
    app(prog_name="normbench")


def _leave() -> None:
    """Skip the final garbage collection; it takes about 1 s once torch is loaded.

    Training loads triton, whose library complains about objects that are left, so collection stays on then.
    """
    if "triton" not in sys.modules:
        gc.freeze()
