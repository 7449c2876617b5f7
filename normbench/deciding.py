"""`run --decide`: adds seeds to the cells of open claims, look by look, until they are decided.

A config with `decide:` runs so by itself, and says how far (`Limits`).

All cells begin with the seeds of the config, at least those of the first look. Then, again and again:

1. Each open verdict whose cells have the seeds of its next look is looked at, and the looks are recorded.
2. Where none has, the most promising open verdict gets the seeds of its next look, in all of its cells. That
   is the one with the smallest p-value over its looks so far; among equal ones, the first in the config.
   With `claims: primary`, only the primary claim gets seeds so; the others are looked at as by 1.

Verdicts whose groups cannot be compared at all get no more seeds. Which looks come next follows from the
recorded looks and the records alone. So an interrupted session goes on with the same looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from normbench.analysis.sequential import Known, Standing, judged, look_at, standings
from normbench.analysis.tables import load_tables
from normbench.config.members import members
from normbench.launch.idle import workers_stay
from normbench.launch.reporter import Reporter
from normbench.launch.session import Finished, Session, SessionOptions
from normbench.planning.limits import Limits, start_of
from normbench.planning.plan import Plan
from normbench.records.environment import now
from normbench.records.lock import FolderLock
from normbench.records.looks import RecordedLook, read_looks, write_looks
from normbench.stats.looks import LOOKS, Look

BUDGET_SPENT = "the budget is spent; everything measured is kept, and the same command goes on"


class Decider:
    """Trains and looks until all claims of a config are decided, or a limit is reached.

    Args:
        plan: of the experiment with all seeds (`with_all_seeds`).
        start: number of seeds that the config itself has.
        options: of the sessions.
        limits: where to end.
        reporter: hears about the progress.
        should_stop: asked after each chunk of steps; if true, training ends with everything written.
    """

    def __init__(
        self,
        plan: Plan,
        start: int,
        options: SessionOptions,
        limits: Limits,
        reporter: Reporter,
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan, self.options, self.limits = plan, options, limits
        self.reporter, self._told_to_stop = reporter, should_stop
        self.seeds = plan.experiment.seeds
        self.start = start_of(start, len(self.seeds))
        self.folder = options.results / plan.experiment.name
        self.spent = 0.0  # seconds of training
        self._known: Known = {}
        self._decided: set[tuple[str, str]] = set()
        self._began = time.monotonic()
        self._finished: Finished | None = None
        self._interrupted = False

    def run(self) -> Finished:
        """Train and look until nothing is open, and return what was done in all.

        Raises:
            NormbenchError: config, data or results folder cannot be used.
        """
        with workers_stay():  # each round is a session
            return self._run()

    def _run(self) -> Finished:
        recorded = read_looks(self.folder)
        goes_on = self._train(self._covered(self._standings() if recorded else []))
        while goes_on:
            found = self._standings()
            waiting = [one for one in found if self._next(one) is not None]
            if not waiting:
                break
            covered = self._covered(found)
            if not any(self._is_due(one, covered) for one in waiting):
                growing = [one for one in waiting if self.limits.grows(one.last.claim)]
                if not growing:
                    break
                best = min(growing, key=lambda one: one.p)
                self.reporter.message(f"{best.name} is open: n = {self._next(best)} next, p = {best.p:.2g}")
                covered = self._covered(found, best)
                goes_on = self._train(covered)
            if goes_on:
                self._record([one for one in waiting if self._is_due(one, covered)])
        assert self._finished is not None
        return replace(self._finished, interrupted=self._interrupted, judged=self._known)

    def _train(self, covered: Sequence[int]) -> bool:
        """Train the first seeds of each cell, as many as given; return whether all of them are there."""
        if self._finished is not None and self._told_to_stop():
            self._interrupted = True
            return False
        self._began = time.monotonic()
        if self._finished is not None and self._is_over_budget():
            self.reporter.message(BUDGET_SPENT)
            return False
        plan = self.plan.limited_to([self.seeds[:n] for n in covered], self.seeds[: max(covered)])
        options = self.options
        if self._finished is not None:  # a run that crashes again is not tried once more in each round
            options = replace(options, retry=())
        elif options.retry:
            self._known.clear()  # verdicts on runs that have other results now
        done = Session(plan, options, self.reporter, self._should_stop).run()
        if (before := self._finished) is not None:
            done = replace(
                done,
                trained=before.trained + done.trained,
                skipped=before.skipped,
                replayed=before.replayed + done.replayed,
                seconds=before.seconds + done.seconds,
            )
        self._finished = done
        if done.interrupted and self._is_over_budget():
            self.reporter.message(BUDGET_SPENT)
        elif done.interrupted:
            self._interrupted = True
        self.spent += time.monotonic() - self._began
        return not done.interrupted and not done.failed_fast

    def _should_stop(self) -> bool:
        return self._is_over_budget() or self._told_to_stop()

    def _is_over_budget(self) -> bool:
        return self.spent + time.monotonic() - self._began >= self.limits.budget

    def _standings(self) -> list[Standing]:
        """Return where each verdict stands by the looks that are recorded; say which ones are new."""
        looks = read_looks(self.folder)
        found = standings(load_tables(self.folder), looks, self.seeds[: min(LOOKS)], self._known)
        for one in found:
            if one.holds and one.key not in self._decided:
                self._decided.add(one.key)
                word = one.clearest.word if one.clearest else "inconclusive"
                self.reporter.message(f"{one.name}: {word}, for good (p over all looks {one.p:.2g})")
        return found

    def _next(self, one: Standing) -> int | None:
        """Return the number of seeds of the next look at a verdict; None if it gets none."""
        left = [n for n in one.left if n <= self.limits.most_seeds]
        return left[0] if left and one.decidable and not one.holds else None

    def _members(self, one: Standing) -> list[int]:
        return members(one.last.claim, one.last.at, self.plan.experiment.cells)

    def _covered(self, found: Sequence[Standing], more: Standing | None = None) -> list[int]:
        """Return how many seeds each cell has by the looks so far, and with the next look at a verdict."""
        covered = [self.start] * len(self.plan.experiment.cells)
        for one in found:
            n = max((look.n for look in one.looks), default=0)
            if more is not None and one.key == more.key:
                n = self._next(one) or n
            for place in self._members(one):
                covered[place] = max(covered[place], n)
        return covered

    def _is_due(self, one: Standing, covered: Sequence[int]) -> bool:
        """Return whether the cells of a verdict have the seeds of its next look."""
        n = self._next(one)
        return n is not None and all(covered[place] >= n for place in self._members(one))

    def _record(self, due: Sequence[Standing]) -> None:
        """Take the next look at these verdicts, and add them all to looks.csv in one step."""
        tables, looks = load_tables(self.folder), read_looks(self.folder)
        for one in due:
            seeds = tuple(self.seeds[: self._next(one)])
            verdict = judged(tables, seeds, [one.last.claim], self._known).get(one.key)
            look = look_at(verdict, len(seeds)) if verdict else Look(len(seeds), 1.0, "inconclusive")
            looks.append(RecordedLook(*one.key, len(one.looks) + 1, seeds, look.p, look.word, now()))
            self.reporter.message(f"{one.name}: n = {look.n}, p = {look.p:.2g} ({look.word})")
        lock = FolderLock(self.folder)
        lock.acquire()
        try:
            write_looks(self.folder, looks)
        finally:
            lock.release()
