"""Whether a run trains, and the largest learning rate that trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normbench.stats.intervals import Numbers, Span, SpanInterval, span_interval, unlog, weighted


@dataclass(frozen=True)
class Edge:
    """The end of the first contiguous block of rates that train, for one cell and seed.

    It lies between `top`, the last rate of the block, and `next`.
    """

    top: float
    next: float  # the next rate above the block; inf if the block reaches the last rate
    slow: tuple[float, ...] = ()  # rates below the block
    holes: tuple[float, ...] = ()  # rates above `next` that train again

    @property
    def estimate(self) -> float:
        """Return sqrt(top x next); inf if there is no next rate."""
        return math.sqrt(self.top * self.next)

    @property
    def span(self) -> Span:
        """Return the edge as a value between `top` and `next`."""
        return Span(self.top, self.next, self.estimate)


def outcome(
    train_loss_last_tenth: float | None, label_entropy: float | None, trains_below: float, status: str
) -> str | None:
    """Return `trains`, `stuck`, `diverged` or `crashed`; None for a run that has not ended.

    A run trains if the mean of the last tenth of its training losses is at most `trains_below` times the
    entropy of the labels.

    Args:
        train_loss_last_tenth: mean of the last tenth of the training losses, in nats.
        label_entropy: entropy of the labels, in nats.
        trains_below: threshold, as a share of the entropy.
        status: how the run ended.
    """
    if status in ("diverged", "crashed"):
        return status
    if status != "finished" or train_loss_last_tenth is None or label_entropy is None:
        return None
    if math.isnan(train_loss_last_tenth) or math.isnan(label_entropy):
        return None
    if math.isinf(train_loss_last_tenth):
        return "diverged"
    return "trains" if train_loss_last_tenth <= trains_below * label_entropy else "stuck"


def largest_trained_rate(rates: Numbers, outcomes: Sequence[str | None]) -> Edge | None:
    """Return where the first contiguous block of rates that train ends, for one cell and seed.

    This is the measure `max_stable_lr`, going upward through the rates. A rate without an outcome (pending)
    counts as not on the grid, which widens the gap from `top` to `next`; one whose run crashed does not
    train. None: no rate trains.
    """
    pairs = sorted((float(r), o) for r, o in zip(rates, outcomes, strict=True) if isinstance(o, str) and o)
    grid = [rate for rate, _ in pairs]
    if len(set(grid)) != len(grid):
        raise ValueError("a rate is given twice: pass the runs of one cell and one seed")
    trains = [o == "trains" for _, o in pairs]
    if True not in trains:
        return None
    first = trains.index(True)
    last = first
    while last + 1 < len(grid) and trains[last + 1]:
        last += 1
    above = math.inf if last + 1 == len(grid) else grid[last + 1]
    holes = tuple(r for r, good in zip(grid[last + 1 :], trains[last + 1 :], strict=True) if good)
    return Edge(grid[last], above, tuple(grid[:first]), holes)


def edge_interval(edges: Sequence[Edge | None]) -> SpanInterval:
    """Return the geometric mean of sqrt(top x next) over seeds, with an interval that includes the grid.

    Its lower end is the lower end of the t interval of the tops, its upper end the upper end of that of the
    next rates. Equal seeds therefore give the grid's distance, not zero. An end is inf if a next rate is
    missing. Seeds without an edge are left out and counted.
    """
    return unlog(span_interval([edge.span.log() if edge else None for edge in edges]))


def edge_ratio(ones: Mapping[int, Edge | None], others: Mapping[int, Edge | None]) -> SpanInterval:
    """Return the ratio of the edge of `ones` to that of `others`, paired by seed.

    The lower end is that of the t interval of (top of one) / (next of the other), the upper end that of
    (next of one) / (top of the other). Pairs in which one trains at no rate are left out and counted. If both
    blocks reach their last rate the estimate is NaN: any ratio is possible.
    """
    pairs = [(ones[seed], others[seed]) for seed in sorted(set(ones) & set(others))]
    ratios = [weighted((a.span.log(), b.span.log()), (1, -1)) if a and b else None for a, b in pairs]
    return unlog(span_interval(ratios))
