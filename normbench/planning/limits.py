"""How far seeds are added until claims are decided: what a config says, and the plans that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from normbench.config import Claim, Experiment
from normbench.config.members import members, verdicts_of
from normbench.config.schema import Decide
from normbench.durations import seconds_of
from normbench.errors import NormbenchError
from normbench.measures.claim import estimator_of
from normbench.planning.plan import Plan, make_plan
from normbench.stats.looks import LOOKS, MOST_SEEDS, weights_of


@dataclass(frozen=True)
class Limits:
    """How far seeds are added: seconds of training, seeds, and whether for the primary claim alone."""

    budget: float = math.inf
    most_seeds: int = MOST_SEEDS
    primary_only: bool = False

    def grows(self, claim: Claim) -> bool:
        """Return whether seeds are added for this claim."""
        return claim.primary or not self.primary_only


def limits_of(
    experiment: Experiment,
    decide: bool | None = None,
    budget: float | None = None,
    max_seeds: int | None = None,
) -> Limits | None:
    """Return how far seeds are added to a config; None if it trains its own seeds alone.

    Args:
        experiment: the config.
        decide: whether to add seeds; by default if the config has `decide:`.
        budget: seconds of training, in place of the config's.
        max_seeds: in place of the config's.
    """
    if not (experiment.decide is not None if decide is None else decide):
        return None
    own = experiment.decide or Decide()
    if budget is None:
        budget = math.inf if own.budget is None else seconds_of(own.budget)
    return Limits(budget, own.max_seeds if max_seeds is None else max_seeds, own.claims == "primary")


def refuse_limits(budget: float | None, max_seeds: int | None) -> None:
    """Refuse limits that are given where no seeds are added."""
    for option, value in (("--budget", budget), ("--max-seeds", max_seeds)):
        if value is not None:
            raise NormbenchError(
                f"{option}: works where claims are decided alone; add --decide, or `decide:` to the config, "
                "or leave it out"
            )


def refuse_shard(limits: Limits | None) -> None:
    """Refuse to train a shard where seeds are added."""
    if limits is not None:
        raise NormbenchError(
            "--shard: not where seeds are added until claims are decided (--decide, or `decide:` in the "
            "config), since which ones come next depends on the results of all; train shards of the config's "
            "own seeds (--no-decide) and merge them, then run with --decide and without --shard"
        )


def refuse_extend(limits: Limits | None, shard: str | None) -> None:
    """Refuse to go on from the last states of runs where seeds are added, or with a shard."""
    if limits is not None or shard is not None:
        raise NormbenchError(
            "--extend: goes on with the config's own seeds and all its runs; leave out --shard, --decide and "
            "`decide:` (--no-decide)"
        )


def with_all_seeds(experiment: Experiment, limits: Limits) -> Experiment:
    """Return the experiment with all seeds that it may come to: its own, then those above them.

    Args:
        experiment: the config.
        limits: how far seeds are added.

    Raises:
        NormbenchError: there is nothing that seeds could decide.
    """
    name, most = experiment.name, limits.most_seeds
    if most > MOST_SEEDS:
        raise NormbenchError(f"--max-seeds: found {most}; the last look takes {MOST_SEEDS} seeds")
    if not experiment.claims:
        raise NormbenchError(
            f"--decide: {name} has no claims, so there is nothing to decide; write some (`normbench init "
            "claim`), or run it with --no-decide"
        )
    if len(experiment.seeds) > most:
        raise NormbenchError(
            f"seeds: {name} has {len(experiment.seeds)}, and at most {most} are looked at (max_seeds); give "
            "it fewer (they are the start), or run it with --no-decide"
        )
    for claim in experiment.claims:
        if "seed" in claim.keys:
            raise NormbenchError(
                f"--decide: claim {claim.id} of {name} names seeds, so more of them cannot decide it; take "
                "`seed` out of it, or run it with --no-decide"
            )
    growing = [claim for claim in experiment.claims if limits.grows(claim)]
    first = min(min(weights_of(estimator_of(claim))) for claim in growing)
    if most < first:
        raise NormbenchError(f"--max-seeds: found {most}; the first look at {name} takes {first} seeds")
    largest = max(experiment.seeds)
    seeds = [*experiment.seeds, *range(largest + 1, largest + 1 + most)][:most]
    raw = {**experiment.raw, "seeds": seeds}
    if experiment.decide is not None:  # --max-seeds may say more than the config, which lists all these seeds
        raw["decide"] = {**raw["decide"], "max_seeds": most}
    return replace(experiment, seeds=seeds, raw=raw)


def first_and_most(plan: Plan, limits: Limits) -> tuple[Plan, Plan]:
    """Return what is trained for certain before the first look, and all that may be trained.

    Args:
        plan: of the experiment with its own seeds.
        limits: how far seeds are added.

    Raises:
        NormbenchError: there is nothing that seeds could decide.
    """
    experiment = with_all_seeds(plan.experiment, limits)
    whole = make_plan(experiment, plan.data_dir, plan.device, plan.executor, plan.memory, plan.executors)
    whole = replace(whole, compiling=plan.compiling)
    cells, seeds = experiment.cells, experiment.seeds
    first = seeds[: start_of(len(plan.experiment.seeds), len(seeds))]
    growing = {
        place
        for claim in experiment.claims
        if limits.grows(claim)
        for at in verdicts_of(claim, cells)
        for place in members(claim, at, cells)
    }
    most = [seeds if place in growing else first for place in range(len(cells))]
    return whole.limited_to([first] * len(cells), first), whole.limited_to(most, seeds)


def start_of(own: int, most: int) -> int:
    """Return the number of seeds that all cells begin with, given those of the config and the most."""
    return min(max(own, min(LOOKS)), most)
