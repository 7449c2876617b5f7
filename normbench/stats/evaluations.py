"""The steps at which a run is evaluated, from plain numbers: configs and records ask the same function."""

from __future__ import annotations

from collections.abc import Collection


def evaluation_steps(
    steps: int,
    every: int | None = None,
    at: Collection[int] = (),
    log: int | None = None,
    early: tuple[int, int, int] | None = None,
) -> list[int]:
    """Return the steps of a run's evaluations: 0, the chosen ones, and the last.

    Args:
        steps: of the run.
        every: steps between two evaluations.
        at: the steps themselves.
        log: how many evaluations, spaced evenly on a log scale from step 1 to the last.
        early: dense early, sparse later: the distance up to a step, this step, the distance after it.

    Returns:
        The steps, ascending.
    """
    chosen = {step for step in at if step < steps}
    if every is not None:
        chosen |= set(range(every, steps, every))
    if log is not None:
        chosen |= {round(steps ** (i / (log - 1))) for i in range(log - 1)}
    if early is not None:
        first, until, then = early
        chosen |= {*range(first, min(until, steps), first), *range(until, steps, then)}
    return sorted({0, steps} | chosen)
