"""Did a run train, and where does a cell's learning rate stop training?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normbench.stats.intervals import Numbers, Span, SpanInterval, span_interval, unlog, weighted


@dataclass(frozen=True)
class Edge:
    """The first contiguous block of rates that trains (one cell, one seed) ends between `top` and `next`."""

    top: float
    next: float  # the next rate above the block; inf when the block reaches the last rate
    slow: tuple[float, ...] = ()  # rates below the block
    holes: tuple[float, ...] = ()  # rates above `next` that train again

    @property
    def estimate(self) -> float:
        """Return sqrt(top x next), inf where the next rate is missing."""
        return math.sqrt(self.top * self.next)

    @property
    def span(self) -> Span:
        """Return the edge as a value that lies between `top` and `next`."""
        return Span(self.top, self.next, self.estimate)


def outcome(
    train_loss_last_tenth: float | None, label_entropy: float | None, trains_below: float, status: str
) -> str | None:
    """Return `trains`, `stuck` or `diverged`; None for a run that neither finished nor diverged.

    A run trains when the mean of the last tenth of its training losses is at most `trains_below` times the
    entropy of the labels (nats).
    """
    if status == "diverged":
        return "diverged"
    if status != "finished" or train_loss_last_tenth is None or label_entropy is None:
        return None
    if math.isnan(train_loss_last_tenth) or math.isnan(label_entropy):
        return None
    if math.isinf(train_loss_last_tenth):
        return "diverged"
    return "trains" if train_loss_last_tenth <= trains_below * label_entropy else "stuck"


def largest_trained_rate(rates: Numbers, outcomes: Sequence[str | None]) -> Edge | None:
    """Return where the first contiguous block of rates that train ends, for one cell and seed.

    This is the measure `max_stable_lr`: walk the rates upward. A rate without an outcome (pending, crashed)
    is as if it were not on the grid, so the gap between `top` and `next` grows honestly. None: it trains at
    no rate.
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
    """Return the geometric mean of sqrt(top x next) over seeds, with the interval that counts the grid.

    Its lower end is the t interval's lower end on the tops, its upper end the upper end on the next rates:
    equal seeds give the width of the grid, not zero. inf where an end is missing. Seeds without an edge are
    counted.
    """
    return unlog(span_interval([edge.span.log() if edge else None for edge in edges]))


def edge_ratio(ones: Mapping[int, Edge | None], others: Mapping[int, Edge | None]) -> SpanInterval:
    """Return by which factor the edge of `ones` lies above that of `others`, paired on seeds, grid counted.

    Lower end: the t interval's lower end on (top of one) / (next of the other); upper end: the upper end on
    (next of one) / (top of the other). Pairs in which one trains at no rate are left out and counted. Where
    both blocks reach their last rate the estimate is NaN: any ratio is possible.
    """
    pairs = [(ones[seed], others[seed]) for seed in sorted(set(ones) & set(others))]
    ratios = [weighted((a.span.log(), b.span.log()), (1, -1)) if a and b else None for a, b in pairs]
    return unlog(span_interval(ratios))
