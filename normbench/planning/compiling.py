"""Which stacks are compiled: those whose training is long enough to pay for the compilation."""

from __future__ import annotations

from dataclasses import replace

from normbench.nn.inductor import missing
from normbench.planning.estimate import estimate
from normbench.planning.plan import Plan
from normbench.planning.stacks import stack_key
from normbench.plugins import used_by

# The code of a net takes 20 to 60 s to compile, if the cache does not have it, and saves a sixth of the time
# of an MLP with batch normalization (benchmarks/compiled.py). So it pays from 6 minutes on; this leaves room
# for an estimate that is twice too long.
WORTH_MINUTES = 15


def with_compiled(plan: Plan, *, cluster: bool = False) -> Plan:
    """Return a plan whose long stacks are compiled where this machine can, with the reason.

    Stacks that have their settings in common are compiled or not together, by the time of all of them. Only
    the executor `vectorized` is replaced, and never for a plug-in, whose executor was checked.

    Args:
        plan: with the executors that are chosen otherwise.
        cluster: whether machines train it of which nothing is known.
    """
    if plan.executor != "auto" or plan.device != "cpu":
        return plan
    lacks = "other nodes of the cluster may have no compiler" if cluster else missing()
    if lacks is not None:
        return replace(plan, compiling=f"no stack is compiled: {lacks}")
    seconds: dict[str, float] = {}
    for stack, cost in zip(plan.stacks, estimate(plan).stacks, strict=True):
        settings = stack.runs[0].settings
        if stack.executor == "vectorized" and not used_by(settings):
            key = stack_key(settings)
            seconds[key] = seconds.get(key, 0.0) + cost.seconds
    long = {key: "compiled" for key, each in seconds.items() if each >= 60 * WORTH_MINUTES}
    limit = f"{WORTH_MINUTES} minutes"
    if not long:
        return replace(plan, compiling=f"no stack is compiled: no kind takes {limit} or more")
    text = f"stacks of {len(long)} of {len(seconds)} kinds are compiled, since these take {limit} or more"
    return replace(plan, executors={**plan.executors, **long}, compiling=text, remarks=(*plan.remarks, text))
