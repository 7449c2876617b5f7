"""`normbench show`: print all that the records have of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normbench.cli.options import Json, Plugins
from normbench.cli.output import exact, print_json, print_table, say, scalar, width
from normbench.cli.plugins import load_named
from normbench.cli.text_plot import text_plot
from normbench.counts import counted

if TYPE_CHECKING:
    import pandas as pd

    from normbench.analysis.one_run import OneRun

WIDEST = 100  # columns of a curve


def show(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN_ID", help="The run's id, or at least its first four characters.")
    ],
    results: Annotated[
        Path,
        typer.Option("--results", metavar="DIR", help="An experiment's folder, or a folder of them."),
    ] = Path("results"),
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print all of one run: settings, outcome, curves, stack, and the traceback if it crashed.

    Ids are in runs.csv; `normbench query` finds them.

    \b
    Example:  normbench show 9df044d13599 --results results/quickstart
    """
    from normbench.analysis.one_run import find_run
    from normbench.records import experiments_in

    load_named(plugin)
    one = find_run(experiments_in(results, shards=True), run_id, say)
    for sentence in one.notes:
        say(sentence)
    if as_json:
        print_json(_answer(one))
        return
    _print(one)


def _print(one: OneRun) -> None:
    row = one.row
    typer.echo(f"run {one.run_id}, seed {row['seed']}, in {one.folder}")
    ended = "" if row["diverged_at_step"] is None else f" at step {row['diverged_at_step']:,.0f}"
    outcome = f", outcome {row['outcome']}" if row["outcome"] not in (None, row["status"]) else ""
    steps = "" if row["steps"] is None else f", {row['steps']:,.0f} steps"
    typer.echo(f"{row['status']}{ended}{outcome}{steps}")
    if one.mates:
        typer.echo(f"stack {row['stack']} of {counted(one.mates, 'run')}, executor {row['executor']}")
    typer.echo()
    swept = [[key, one.settings.get(key)] for key in one.swept]
    fixed = [[key, value] for key, value in one.settings.items() if key not in one.swept]
    print_table("settings that are swept", ["key", "value"], swept)
    print_table("other settings", ["key", "value"], fixed)
    # what is said above, and what is a setting
    said = {"run_id", "seed", "status", "outcome", "stack", "executor", "decided", *one.swept}
    print_table(
        "results",
        ["column", "value"],
        [[name, _number(value)] for name, value in row.items() if name not in said and value is not None],
        right=1,
    )
    for name in one.measured:
        known = one.metrics[one.metrics[name].notna()]
        curve = text_plot(name, *_lists(known, name), wide=min(width(), WIDEST))
        typer.echo(f"{curve}\n")
    if len(one.layers):
        last = one.layers[one.layers["step"] == one.layers["step"].max()]
        heads = ["layer", "quantity", "value"]
        rows = [[*map(str, words), _number(value)] for *words, value in last[heads].itertuples(index=False)]
        print_table(f"layers.csv at step {last['step'].iloc[0]:,}", heads, rows, right=1)
    if one.crash is not None:
        typer.echo(f"traceback of the crash ({one.folder / 'crashes' / (one.run_id + '.txt')}):\n{one.crash}")


def _lists(rows: pd.DataFrame, name: str) -> tuple[list[float], list[float]]:
    return rows["step"].tolist(), _digits(rows[name])


def _digits(column: pd.Series[Any]) -> list[float]:
    """Return float32 numbers as they are written: 0.1, not 0.10000000149."""
    return [float(str(value)) for value in column.to_numpy()]


def _number(value: Any) -> str:
    """Return a number with all its digits; a whole one without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return repr(value) if isinstance(value, float) else scalar(value)


def _answer(one: OneRun) -> dict[str, Any]:
    def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
        digits = frame.assign(**{name: _digits(frame[name]) for name in frame.select_dtypes("float32")})
        found = digits.astype(object).to_dict("records")
        return [{str(key): exact(value) for key, value in one.items()} for one in found]

    return {
        "run_id": one.run_id,
        "folder": str(one.folder),
        "swept": list(one.swept),
        "settings": one.settings,
        "runs": {key: exact(value) for key, value in one.row.items()},
        "runs_in_stack": one.mates or None,
        "metrics": rows(one.metrics),
        "layers": rows(one.layers),
        "crash": one.crash,
    }
