"""The arguments and options that several commands share, and their choices.

Typer needs enums; a test keeps their members equal to the choices in `names.py`.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer


class Device(str, Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Executor(str, Enum):
    """How the runs of a stack are computed."""

    auto = "auto"
    compiled = "compiled"
    vectorized = "vectorized"
    looped = "looped"
    eager = "eager"


class Launcher(str, Enum):
    """Where the stacks are trained."""

    auto = "auto"
    local = "local"
    processes = "processes"
    ray = "ray"


class Retry(str, Enum):
    """Which runs without a result are trained again."""

    crashed = "crashed"


Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG", help="YAML files; each is one experiment.")]
Results = Annotated[
    Path, typer.Argument(metavar="RESULTS", help="An experiment's folder, or a folder of them.")
]
Book = Annotated[
    Optional[list[Path]],
    typer.Argument(
        metavar="RESULTS",
        help="Folders of experiments, or folders of them. Default: results.",
        show_default=False,
    ),
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
DeviceOption = Annotated[
    Device, typer.Option(case_sensitive=False, help="Where to train; auto takes a GPU if there is one.")
]
ExecutorOption = Annotated[
    Executor,
    typer.Option(
        case_sensitive=False,
        help="How the runs of a stack are computed; auto follows a fixed rule, and compiles long stacks.",
    ),
]
Plugins = Annotated[
    Optional[list[Path]],
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file, or folder with an __init__.py, that registers something of your own; repeatable.",
    ),
]
ShardOption = Annotated[
    Optional[str],
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Part I of N of the sweep, such as 2/3; `run` trains it into results/<name>/shards/2-of-3.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with JSON on stdout.")]
