"""Measures how often verdicts are wrong and intervals contain the truth, for seeds and grids of rates.

    python benchmarks/verdict_rates.py                          # 2,000 experiments each
    python benchmarks/verdict_rates.py --through-files 2000     # all of them through files: 40 minutes
    python benchmarks/verdict_rates.py --experiments 200 --through-files 20     # quick
    python benchmarks/verdict_rates.py --rates "half decades"   # some rows of the table

The experiments are simulated, so their truth is known. The largest stable rate of a plain net lies anywhere
within a decade. Those of two other nets are exactly 3 and 10 times as large. Each net and seed has
independent noise with a standard deviation of 0.1, 0.3 or 0.5 (natural logarithm). A run trains if its rate
is at most its own edge. The claim is `max_stable_lr`, `ratio_at_least: 3`.

An experiment takes the same way as a real one. A config is read and planned. Its runs are those of the plan,
or, with an edge, those that the search asks for in each round. They are written to runs.csv as by a training.
This file is read as by every command and judged as by `normbench verify`, one verdict per experiment. A file
holds many experiments side by side (`for_each`). Holm's correction is off, because each experiment represents
a file of its own. The first experiment of each condition is also written to a folder of its own and judged by
the command `normbench verify --json`.

Reading and judging a table takes 30 ms per experiment, so only the first 200 of each condition go through
files (`--through-files`). All experiments also take a short way: from the plan's rates directly to the
definition of the measure and the comparison that judges. All ways must give the same verdict and interval;
otherwise the script ends with the difference.

The script prints a table in Markdown (docs/statistics.md). The exit code is 1 if more than 5 % are falsely
supported, or less than 93 % of the intervals contain the truth, by more than the simulation's own error (two
standard errors).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from normbench.analysis.comparison import Comparison
from normbench.analysis.judge import claims_of, judge
from normbench.analysis.pairing import Group, Readings
from normbench.analysis.tables import load_tables
from normbench.config import Experiment, dump_config, parse_config
from normbench.planning.plan import Plan, make_plan
from normbench.planning.runs import RunSpec
from normbench.records import write_csv
from normbench.records.schema import runs_table
from normbench.stats.intervals import LEVEL, Span
from normbench.stats.outcome import Edge, largest_trained_rate

THRESHOLD = 3.0
TRUTHS = {"batchnorm": THRESHOLD, "layernorm": 10.0}  # the true ratio to the plain net
NOISES = (0.1, 0.3, 0.5)
SEEDS = (3, 5, 10)
EXPERIMENT = "data.split_seed"  # the swept key that numbers the experiments
CHUNK = 20  # experiments per file
GRIDS = {
    "whole decades": "{logspace: {from: 0.001, to: 100, num: 6}}",
    "half decades": "{logspace: {from: 0.001, to: 100, num: 11}}",
    "quarter decades": "{logspace: {from: 0.001, to: 100, num: 21}}",
    "edge, precision 1.1": "{edge: {from: 0.001, to: 100, precision: 1.1}}",
}
CONFIG = """
name: simulated
seeds: {seeds}
data: {{name: digits, batch_size: 20}}
model: {{name: mlp}}
train: {{steps: 1000}}
sweep:
  model.norm: [none, batchnorm, layernorm]
  {key}: {experiments}
  optimizer.lr: {rates}
claims:
"""
CLAIM = """
  - id: {norm}
    statement: It allows rates at least 3 times as large.
    measure: max_stable_lr
    of: {{model.norm: {norm}}}
    against: {{model.norm: none}}
    for_each: [{key}]
    expect: {{ratio_at_least: {threshold}}}
"""


Edges = dict[tuple[str, int], float]  # the largest rate that trains of each variant and seed
Told = tuple[str, float, float]  # verdict, and the ends of the interval


@dataclass
class Counts:
    """The verdicts and covering intervals of one condition, counted for each claim."""

    supported: Counter[str] = field(default_factory=Counter)
    refuted: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)

    def add(self, told: dict[str, Told]) -> None:
        """Count an experiment."""
        for norm, (verdict, low, high) in told.items():
            self.supported[norm] += verdict == "supported"
            self.refuted[norm] += verdict == "refuted"
            self.covered[norm] += low <= TRUTHS[norm] <= high


def experiment(rates: str, seeds: int, count: int) -> Experiment:
    """Return a config with `count` experiments."""
    claims = "".join(CLAIM.format(norm=norm, key=EXPERIMENT, threshold=THRESHOLD) for norm in TRUTHS)
    text = CONFIG.format(seeds=seeds, rates=rates, key=EXPERIMENT, experiments=list(range(count))) + claims
    return parse_config(text)


def outcome_at(edges: Edges, run: RunSpec) -> str:
    """Return the outcome of a run."""
    edge = edges[run.values["model.norm"], run.seed]
    return "trains" if run.values["optimizer.lr"] <= edge else "diverged"


def runs_of(plan: Plan, edges: Edges) -> Iterator[tuple[RunSpec, str]]:
    """Yield the runs that a sweep of this plan trains, in its order, with their outcomes."""
    runs = {run.run_id: run for run in plan.runs}
    outcomes: dict[str, str] = {}
    while asked := plan.wanted(outcomes):
        outcomes |= {run_id: outcome_at(edges, runs[run_id]) for run_id in asked}
    for run in plan.runs:
        if run.run_id in outcomes:
            yield run, outcomes[run.run_id]


def largest_rates(
    plan: Plan, runs: dict[str, RunSpec], edges: Edges
) -> Iterator[tuple[str, int, Edge | None]]:
    """Yield the edge of each variant and seed, from the runs that the sweep trains."""
    groups: dict[tuple[str, int], dict[str, str]] = {}
    if not plan.searches:
        for run in plan.runs:
            groups.setdefault((run.values["model.norm"], run.seed), {})[run.run_id] = outcome_at(edges, run)
    for search in plan.searches:
        outcomes: dict[str, str] = {}
        while asked := search.wanted(outcomes):
            outcomes |= {run_id: outcome_at(edges, runs[run_id]) for run_id in asked}
        first = runs[search.ids[0]]
        groups[first.values["model.norm"], first.seed] = outcomes
    for (norm, seed), ended in groups.items():
        rates = [runs[run_id].values["optimizer.lr"] for run_id in ended]
        yield norm, seed, largest_trained_rate(rates, list(ended.values()))


def draw(rng: np.random.Generator, seeds: int, noise: float) -> Edges:
    """Return the largest rate that trains of each variant and seed of one experiment."""
    base = 10 ** rng.uniform(-1.5, -0.5)
    return {
        (norm, seed): base * ratio * math.exp(noise * rng.standard_normal())
        for norm, ratio in {"none": 1.0, **TRUTHS}.items()
        for seed in range(seeds)
    }


def write(folder: Path, config: Experiment, plan: Plan, drawn: dict[int, Edges]) -> None:
    """Write config.yaml and runs.csv of these experiments, as a training writes them.

    Args:
        folder: to write to.
        config: of these experiments.
        plan: of one experiment.
        drawn: for each experiment's number its edges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = runs_table(list(config.columns)).names
    rows = []
    for number, edges in drawn.items():
        for run, outcome in runs_of(plan, edges):
            run_id = hashlib.sha256(f"{number}/{run.run_id}".encode()).hexdigest()[:12]
            cells = {
                "run_id": run_id,
                "seed": run.seed,
                **run.values,
                EXPERIMENT: number,
                "status": "finished" if outcome == "trains" else "diverged",
                "outcome": outcome,
                "steps": 1000 if outcome == "trains" else 25,
            }
            rows.append([cells.get(name) for name in names])
    (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    write_csv(folder / "runs.csv", names, rows)


def by_file(folder: Path) -> list[dict[str, Told]]:
    """Return the verdicts of each experiment in a folder, read and judged as by `normbench verify`."""
    tables = load_tables(folder)
    told: list[dict[str, Told]] = [{} for _ in range(CHUNK)]
    for claim in claims_of(tables):
        for one in judge(claim, tables):
            told[int(one.at[EXPERIMENT])][claim.id] = (one.verdict, one.ci_low, one.ci_high)
    return told


def by_command(folder: Path) -> dict[str, Told]:
    """Return the verdicts of `normbench verify` for a folder with one experiment."""
    command = [sys.executable, "-m", "normbench", "verify", str(folder), "--correction", "none", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        one["id"]: (one["verdict"], *(float(one[end] or "nan") for end in ("ci_low", "ci_high")))
        for one in json.loads(answer.stdout)
    }


def directly(config: Experiment, plan: Plan, runs: dict[str, RunSpec], edges: Edges) -> dict[str, Told]:
    """Return the verdicts of one experiment from the measure and the comparison, without tables.

    Args:
        config: of one experiment.
        plan: of that config.
        runs: of that plan, by id.
        edges: of the experiment.
    """
    spans: dict[str, dict[int, Span | None]] = {}
    for norm, seed, edge in largest_rates(plan, runs, edges):
        spans.setdefault(norm, {})[seed] = edge.span.log() if edge else None
    told: dict[str, Told] = {}
    for claim in config.claims:
        groups = [Group(norm, pd.DataFrame(), ()) for norm in (claim.id, "none")]
        readings = [Readings(group, {(): spans[group.name]}, 0, False) for group in groups]
        comparison = Comparison(claim, claim.measure, readings, sorted(spans["none"]))
        interval = comparison.shown
        word = "inconclusive" if comparison.blockers() else comparison.word(LEVEL)
        told[claim.id] = (word, interval.low, interval.high)
    return told


def check(told: dict[str, Told], expected: dict[str, Told], how: str) -> None:
    """Exit with the difference if two ways to the same verdicts disagree."""
    for norm, (verdict, *ends) in expected.items():
        if told[norm][0] != verdict or not np.allclose(told[norm][1:], ends, rtol=1e-9, equal_nan=True):
            sys.exit(f"{norm}: {how} gives {told[norm]}, the simulation {expected[norm]}")


def simulate(
    rates: str, seeds: int, noise: float, count: int, through_files: int, folder: Path, command: bool
) -> Counts:
    """Return the counts of one condition.

    Args:
        rates: the axis of rates, as YAML.
        seeds: number of seeds.
        noise: standard deviation of the natural logarithm of the edges.
        count: number of experiments.
        through_files: number of experiments that also go through files.
        folder: for these files.
        command: also judge the first experiment by the command.
    """
    rng = np.random.default_rng([seeds, int(10 * noise), len(rates)])
    config, many = experiment(rates, seeds, 1), experiment(rates, seeds, CHUNK)
    plan = make_plan(config)
    runs = {run.run_id: run for run in plan.runs}
    counts = Counts()
    for start in range(0, count, CHUNK):
        drawn = {number: draw(rng, seeds, noise) for number in range(CHUNK)}
        found = [directly(config, plan, runs, edges) for edges in drawn.values()]
        if start < through_files:
            write(folder / "many", many, plan, drawn)
            for told, expected in zip(by_file(folder / "many"), found, strict=True):
                check(told, expected, "the file")
        if start == 0 and command:
            write(folder / "one", config, plan, {0: drawn[0]})
            check(by_command(folder / "one"), found[0], "normbench verify")
        for one in found:
            counts.add(one)
    return counts


def main() -> None:
    """Simulate every condition and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--experiments", type=int, default=2000, help=f"per condition; rounded up to a multiple of {CHUNK}"
    )
    parser.add_argument("--through-files", type=int, default=200, help="how many of them go through runs.csv")
    parser.add_argument("--rates", action="append", choices=GRIDS, help="only these rows; repeatable")
    parser.add_argument("--no-command", action="store_true", help="skip the sample judged by the command")
    options = parser.parse_args()
    count = -(-options.experiments // CHUNK) * CHUNK
    print("| rates | noise | n | false `supported` | false `refuted` | coverage at 3 | at 10 | power at 10 |")
    print("|---|---|---|---|---|---|---|---|")
    good = True
    slack = 2 * math.sqrt(0.05 * 0.95 / count)
    exact, far = TRUTHS
    with tempfile.TemporaryDirectory() as folder:
        for name, rates in ((name, GRIDS[name]) for name in options.rates or GRIDS):
            for noise in NOISES:
                for seeds in SEEDS:
                    place = Path(folder, f"{name}_{noise}_{seeds}")
                    found = simulate(
                        rates, seeds, noise, count, options.through_files, place, not options.no_command
                    )
                    counted = (
                        *(found.supported[exact], found.refuted[exact]),
                        *(found.covered[exact], found.covered[far], found.supported[far]),
                    )
                    shares = [number / count for number in counted]
                    text = " | ".join(f"{share:.3f}" for share in shares)
                    print(f"| {name} | {noise:g} | {seeds} | {text} |", flush=True)
                    good &= shares[0] <= 0.05 + slack and min(shares[2:4]) >= 0.93 - slack
                    shutil.rmtree(place, ignore_errors=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
