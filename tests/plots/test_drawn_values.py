"""What the figures of runs.csv and metrics.csv draw, against numbers that plain Python makes of them."""

import itertools
import math
import statistics

import numpy as np
import pytest
from helpers.figures import bands, colors, dots, lines, pages, panel, panels, segments, texts
from helpers.plain_records import Records, band, bands_at, finite
from helpers.synthetic import ENTROPY, write_results
from scipy.stats import binom

from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots.figures import FIGURES

NAMES = [kind.key() for kind in FIGURES.classes() if not kind.probe]
CHECKS = {}
RATES = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
THRESHOLD = 0.5 * ENTROPY
SIDES = {"of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}}
CLAIMS = [
    {
        **{"id": "edge", "statement": "It allows larger rates.", "measure": "max_stable_lr"},
        **{"expect": {"ratio_at_least": 3}, **SIDES},
    },
    {
        **{"id": "end", "statement": "It is no worse.", "measure": "final_accuracy"},
        **{"expect": {"difference_at_least": 0}, **SIDES},
    },
]


def check(name, **wishes):
    """Register a function as the check of a figure, drawn with these wishes."""

    def add(function):
        CHECKS[name] = function, wishes
        return function

    return add


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two normalizations, seven rates, six seeds: cells that train, are stuck, diverge and are mixed."""
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES}
    folder = tmp_path_factory.mktemp("drawn") / "r"
    write_results(folder, axes=axes, seeds=6, evaluations=21, claims=CLAIMS)
    return load_tables(folder), Records(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_draws_the_numbers_of_the_records(sweep, name):
    tables, records = sweep
    assert name in CHECKS, f'{__file__}: add a function with @check("{name}") that checks what it draws'
    function, wishes = CHECKS[name]
    function(records, pages(tables, name, **wishes))


def test_the_sweep_has_every_kind_of_cell(sweep):
    _, records = sweep
    kinds = {frozenset(r["outcome"] for r in records.cell(n, lr)) for n in records.norms for lr in RATES}
    assert {frozenset({word}) for word in ("trains", "diverged")} <= kinds
    assert any(len(kind) > 1 for kind in kinds)
    assert any("stuck" in kind for kind in kinds)


def same_curves(drawn, expected):
    """Each curve, a list of (x, y), is drawn once and nothing but these."""
    assert len(drawn) == len(expected)
    for curve in expected:
        wanted = np.array(sorted(curve.items()))
        assert any(d.shape == wanted.shape and np.allclose(d, wanted, rtol=1e-5) for d in drawn)


def same_bands(drawn, expected):
    """`expected`: {x: (mean, low, high)} for each curve; a place of one seed has no band."""
    expected = [{x: ends[1:] for x, ends in one.items() if finite(ends[1])} for one in expected]
    expected = [one for one in expected if len(one) > 1]
    assert len(drawn) == len(expected)
    for one in expected:
        assert any(
            sorted(d) == pytest.approx(sorted(one))
            and all(d[x] == pytest.approx(one[x], rel=1e-4) for x in one)
            for d in drawn
            if set(d) == set(one)
        )


def curves_in(records, ax, of_legend, norm, measure, log):
    """One panel of curves: the means of the seeds that train and of those that are stuck, and the lost."""
    for lr in records.rates:
        color = of_legend[f"{lr:g}"]
        expected = []
        for word in ("trains", "stuck"):
            runs = records.cell(norm, lr, outcomes=[word])
            expected += [bands_at([records.curve(run, measure) for run in runs], log)] if runs else []
            if word == "stuck":
                rings = dots(ax, color, marker="o", markerfacecolor="white")
                assert len(rings) == (min(5, len(expected[-1])) if runs else 0)
                assert all(y == pytest.approx(expected[-1][x][0], rel=1e-5) for x, y in rings)
        same_curves(segments(ax, color, 1.3), [{x: e[0] for x, e in one.items()} for one in expected])
        same_bands(bands(ax, color), expected)
        lost = records.cell(norm, lr, outcomes=["diverged"])
        alone = [records.curve(run, measure) for run in lost]
        same_curves(segments(ax, color, 0.6), [curve for curve in alone if curve])
        crosses = [x for x, _ in dots(ax, color, marker="x")]
        assert crosses == sorted(run["diverged_at_step"] for run in lost)


def test_traces_draw_the_line_of_each_seed_behind_the_same_means(sweep):
    tables, records = sweep
    (figure,) = pages(tables, "convergence", traces=True).values()
    convergence(records, {"convergence": figure})
    for i, norm in enumerate(records.norms):
        kept = [
            records.curve(run, "train_loss")
            for lr in records.rates
            for run in records.cell(norm, lr, outcomes=["trains", "stuck"])
        ]
        same_curves(segments(panel(figure, 0, i), None, 0.5), kept)
        assert len(kept) > 10
    assert "one seed" in texts(figure)
    (plain,) = pages(tables, "convergence").values()
    assert not segments(panel(plain, 0, 0), None, 0.5)
    with pytest.raises(
        NormbenchError, match="traces: heatmap has no line for each seed; one of: convergence"
    ):
        pages(tables, "heatmap", traces=True)


def assert_pairs(drawn, expected):
    """The same pairs, in any order."""
    assert len(drawn) == len(expected)
    for one, other in zip(sorted(drawn), sorted(expected), strict=True):
        assert one == pytest.approx(other)


def level(ax):
    """Return where the dashed line across the panel lies."""
    return [ys[0] for _, ys in lines(ax) if len(ys) == 2 and ys[0] == ys[1]]


@check("convergence")
def convergence(records, drawn):
    (figure,) = drawn.values()
    for i, norm in enumerate(records.norms):
        ax = panel(figure, 0, i)
        curves_in(records, ax, colors(figure), norm, "train_loss", log=True)
        assert level(ax) == pytest.approx([THRESHOLD])


@check("convergence_accuracy")
def convergence_accuracy(records, drawn):
    (figure,) = drawn.values()
    for i, norm in enumerate(records.norms):
        curves_in(records, panel(figure, 0, i), colors(figure), norm, "test_accuracy", log=False)


@check("montage", x="optimizer.lr", panel="model.norm", color="seed")
def montage(records, drawn):
    (figure,) = drawn.values()
    found = panels(figure)
    assert len(found) == len(records.norms) * len(records.rates)
    for r, norm in enumerate(records.norms):
        for c, lr in enumerate(records.rates):
            ends = records.cell(norm, lr, outcomes=["trains", "stuck"])
            same_curves(
                segments(found[r, c], None, 1.3), [records.curve(run, "test_accuracy") for run in ends]
            )
            lost = records.cell(norm, lr, outcomes=["diverged"])
            assert [x for x, _ in dots(found[r, c], marker="x")] == sorted(
                r["diverged_at_step"] for r in lost
            )


def means_in(records, ax, color, norm, value, log):
    """One variant's line over the rates with its band, its hollow marks and the crosses in the strip."""
    cells = {lr: records.cell(norm, lr) for lr in records.rates}
    kept = {lr: [run for run in runs if run["outcome"] != "diverged"] for lr, runs in cells.items()}
    ends = {lr: band([value(run) for run in runs], log) for lr, runs in kept.items()}
    ends = {lr: one for lr, one in ends.items() if finite(one[0])}
    drawn = [np.column_stack(line) for line in lines(ax, color, marker="None") if len(set(line[1])) > 1]
    same_curves(drawn, [{lr: one[0] for lr, one in ends.items()}])
    floor = max([patch.get_y() + patch.get_height() for patch in ax.patches], default=-math.inf)
    ceiling = math.inf if log or max(e[0] for e in ends.values()) > 1 else 1.0
    clipped = {lr: (m, max(low, floor), min(high, ceiling)) for lr, (m, low, high) in ends.items()}
    same_bands(bands(ax, color), [clipped])
    stuck = {lr for lr, runs in kept.items() if any(run["outcome"] == "stuck" for run in runs)}
    sign = {"none": "o", "batchnorm": "s"}[norm]
    for fill, chosen in (("white", stuck), (color, set(ends) - stuck)):
        got = dots(ax, color, marker=sign, markersize=4.5, markerfacecolor=fill)
        assert_pairs(got, [(lr, ends[lr][0]) for lr in chosen])
    lost = {lr: sum(run["outcome"] == "diverged" for run in runs) for lr, runs in cells.items()}
    crosses = [x for x, _ in dots(ax, color, marker="x")]
    assert crosses == [lr for lr in records.rates if lost[lr] == len(cells[lr])]
    plus = [x for x, _ in dots(ax, color, marker="+")]
    assert plus == [lr for lr in records.rates if 0 < lost[lr] < len(cells[lr])]
    rings = {lr: y for s in "o<>" for lr, y in dots(ax, color, marker=s, markersize=9)}
    assert rings == pytest.approx({records.best_lr(norm): ends[records.best_lr(norm)][0]})


@check("rate")
def rate(records, drawn):
    (figure,) = drawn.values()
    for row, key, log in ((0, "final_test_accuracy", False), (1, "train_loss_last_tenth", True)):
        ax = panel(figure, row)
        for norm in records.norms:
            means_in(records, ax, colors(figure)[norm], norm, lambda run, key=key: run[key], log)
    assert level(panel(figure, 1)) == pytest.approx([THRESHOLD])


@check("gap")
def gap(records, drawn):
    (figure,) = drawn.values()
    for norm in records.norms:
        color = colors(figure)[norm]
        for row, a, b in (
            (0, "final_train_accuracy", "final_test_accuracy"),
            (1, "final_test_loss", "final_train_loss"),
        ):
            means_in(records, panel(figure, row), color, norm, lambda run, a=a, b=b: run[a] - run[b], False)


@check("largest_rate")
def largest_rate(records, drawn):
    (figure,) = drawn.values()
    ax = panel(figure)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == records.norms
    step = statistics.median(b / a for a, b in itertools.pairwise(RATES))
    for i, norm in enumerate(records.norms):
        color = to_color(ax, i)
        found = [edge for seed in records.seeds if (edge := records.edge(norm, seed))]
        assert len(found) == len(records.seeds)
        ends = [(top, above if finite(above) else RATES[-1] * step) for top, above, _ in found]
        bars = [tuple(ys) for xs, ys in lines(ax, color) if len(ys) == 2 and xs[0] < i + 0.1]
        assert_pairs(bars, ends)
        marks = sorted(
            y
            for line in ax.lines
            if line.get_markerfacecolor() == "white" and abs(line.get_xdata()[0] - i) < 0.5
            for y in line.get_ydata()
        )
        assert marks == pytest.approx(sorted(math.sqrt(a * b) if finite(b) else a for a, b, _ in found))
        holes = sorted(lr for _, _, again in found for lr in again)
        assert sorted(y for _, y in dots(ax, color, marker="+")) == holes
        (mean,) = [y for _, y in dots(ax, color, marker="_")]
        assert mean == pytest.approx(math.exp(statistics.mean(math.log(a * b) / 2 for a, b, _ in found)))
        low = band([a for a, _, _ in found], log=True)[1]
        high = band([b for _, b, _ in found], log=True)[2]
        summary = [tuple(ys) for xs, ys in lines(ax, color) if len(ys) == 2 and xs[0] > i + 0.1]
        assert summary == [pytest.approx((low, min(high, ax.get_ylim()[1])))]


def to_color(ax, i):
    """Return the color of what is drawn around a place of the axis."""
    from matplotlib.colors import to_hex

    near = [line for line in ax.lines if abs(np.asarray(line.get_xdata(), float)[0] - i) < 0.45]
    (color,) = {to_hex(line.get_color()) for line in near}
    return color


@check("steps_to_target", target=0.7)
def steps_to_target(records, drawn):
    (figure,) = drawn.values()
    ax = panel(figure)
    for i, norm in enumerate(records.norms):
        color, steps = to_color(ax, i), []
        for run in records.cell(norm, records.best_lr(norm)):
            curve = records.curve(run, "test_accuracy")
            steps.append(min((s for s, v in curve.items() if v >= 0.7), default=math.inf))
        marks = [y for s in "os" for _, y in dots(ax, color, marker=s)]
        assert sorted(marks) == sorted(s for s in steps if finite(s))
        assert len(dots(ax, color, marker="x")) == sum(map(math.isinf, steps))
        assert [y for _, y in dots(ax, color, marker="_")] == [statistics.median(steps)]
        n = len(steps)
        k = max(k for k in range(1, n) if 2 * binom.cdf(k - 1, n, 0.5) <= 0.05)
        ends = [tuple(ys) for _, ys in lines(ax, color) if len(ys) == 2]
        assert ends == [(sorted(steps)[k - 1], sorted(steps)[n - k])]


@check("summary", target=0.7)
def summary(records, drawn):
    (figure,) = drawn.values()
    rates, accuracies, steps = (panel(figure, 0, c) for c in range(3))
    assert [tick.get_text() for tick in rates.get_yticklabels()] == records.norms
    for i, norm in enumerate(records.norms):
        found = [records.edge(norm, seed) for seed in records.seeds]
        tops, nexts = [top for top, _, _ in found], [above for _, above, _ in found]
        first = [
            min(lr for lr in RATES if records.cell(norm, lr, seed)[0]["outcome"] == "trains")
            for seed in records.seeds
        ]
        edge = [math.sqrt(a * b) for a, b in zip(tops, nexts, strict=True)]
        closed = all(map(finite, nexts))
        largest = band(edge if closed else tops, log=True)[0]
        bar, interval = along(rates, i)
        assert bar == pytest.approx([band(first, log=True)[0], largest])
        low, high = band(tops, log=True)[1], band(nexts, log=True)[2] if closed else math.inf
        assert interval == pytest.approx(np.clip([low, high], *rates.get_xlim()))
        assert mark(rates, i) == ("os"[i] if closed else ">", pytest.approx(largest))
        assert beside(rates)[i] == f"{'' if closed else 'at least '}{largest:.3g}"

        best = records.cell(norm, records.best_lr(norm))
        mean, low, high = (100 * x for x in band([run["final_test_accuracy"] for run in best]))
        assert along(accuracies, i) == [pytest.approx(np.clip([low, high], *accuracies.get_xlim()))]
        assert mark(accuracies, i)[1] == pytest.approx(mean)
        assert beside(accuracies)[i].split(" !")[0] == f"{mean:.1f} % at {records.best_lr(norm):g}"

        curves = [records.curve(run, "test_accuracy") for run in best]
        reached = sorted(min((s for s, v in one.items() if v >= 0.7), default=math.inf) for one in curves)
        assert mark(steps, i)[1] == statistics.median(reached)
        assert along(steps, i) == [pytest.approx([reached[0], reached[-1]])]  # of six: the whole range
        assert beside(steps)[i] == f"{statistics.median(reached):,.0f}"


def along(ax, row):
    """Return the ends of what is drawn along a row: bars and intervals."""
    return [list(xs) for xs, ys in lines(ax) if len(xs) == 2 and set(ys) == {row}]


def mark(ax, row):
    """Return the sign of a row and its place."""
    single = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_ydata()[0] == row]
    (found,) = [(line.get_marker(), line.get_xdata()[0]) for line in single]
    return found


def beside(ax):
    """Return the text of each row."""
    return {text.get_position()[1]: text.get_text() for text in ax.texts}


@check("heatmap")
def heatmap(records, drawn):
    (figure,) = drawn.values()
    ax = panel(figure)
    cells = np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(len(records.norms), -1)
    counted, signs = {}, {"o": [], "x": []}
    for row, norm in enumerate(records.norms):
        for column, lr in enumerate(records.rates):
            runs = records.cell(norm, lr)
            kept = [r["final_test_accuracy"] for r in runs if r["outcome"] != "diverged"]
            mean = statistics.mean(kept) if kept else math.nan
            assert cells[row, column] == pytest.approx(mean, nan_ok=True)
            words = {r["outcome"] for r in runs}
            if len(words) > 1:
                counted[column, row] = f"{sum(r['outcome'] == 'trains' for r in runs)}/{len(runs)}"
            elif words != {"trains"}:
                signs["o" if words == {"stuck"} else "x"].append((column, row))
    assert {tuple(text.get_position()): text.get_text() for text in ax.texts} == counted
    for marker, places in signs.items():
        assert dots(ax, marker=marker) == sorted(places)


@check("best_vs_equal")
def best_vs_equal(records, drawn):
    (figure,) = drawn.values()
    heads = [panel(figure, 0, c).get_title() for _, c in sorted(panels(figure))]
    assert len(heads) > 2
    for c, head in enumerate(heads):
        ax = panel(figure, 0, c)
        low, high = ax.get_xlim()
        named = {text.get_position()[1]: text.get_text() for text in ax.texts}
        for i, norm in enumerate(records.norms):
            lr = records.best_lr(norm) if c == 0 else float(head.split()[-1])
            runs = records.cell(norm, lr)
            lost = [run for run in runs if run["outcome"] == "diverged"]
            kept = [100 - 100 * run["final_test_accuracy"] for run in runs if run["outcome"] != "diverged"]
            mean, *ends = np.clip(band(kept), low, high)
            row = [(xs, line) for line in ax.lines for xs in [np.asarray(line.get_xdata(), float)]
                   if set(np.round(np.asarray(line.get_ydata(), float))) == {i}]  # fmt: skip
            marks = [xs[0] for xs, line in row if line.get_marker() in "os"]
            assert marks == ([pytest.approx(mean)] if kept else [])
            hollow = [line.get_markerfacecolor() == "white" for _, line in row if line.get_marker() in "os"]
            assert hollow == ([any(run["outcome"] == "stuck" for run in runs)] if kept else [])
            intervals = [list(xs) for xs, _ in row if len(xs) == 2]
            assert intervals == ([pytest.approx(ends)] if len(kept) > 1 else [])
            signs = {line.get_marker() for _, line in row} & {"x", "+"}
            assert signs == (set() if not lost else {"x"} if not kept else {"+"})
            if c == 0:
                assert named[i].split()[0] == f"{lr:g}"


@check("claims")
def claims(records, drawn):
    (figure,) = drawn.values()
    edges = {
        norm: {seed: records.edge(norm, seed) for seed in records.seeds} for norm in ("batchnorm", "none")
    }
    ratios = []
    for seed in records.seeds:
        (a, a_next, _), (b, b_next, _) = (edges[norm][seed] for norm in ("batchnorm", "none"))
        ratios.append((a / b_next, a_next / b, math.sqrt(a * a_next / b / b_next)))
    edge = [
        band([middle for *_, middle in ratios], log=True)[0],
        band([low for low, _, _ in ratios], log=True)[1],
        band([high for _, high, _ in ratios], log=True)[2],
    ]
    ends = {}
    for norm in ("batchnorm", "none"):
        ends[norm] = {
            run["seed"]: run["final_test_accuracy"] for run in records.cell(norm, records.best_lr(norm))
        }
    end = band([ends["batchnorm"][seed] - ends["none"][seed] for seed in records.seeds])
    for row, (wanted, bound) in enumerate(((edge, 3.0), (end, 0.0))):
        ax = panel(figure, row)
        (mark,) = [xs[0] for s in "oXD" for xs, _ in lines(ax, marker=s)]
        assert mark == pytest.approx(wanted[0])
        (interval,) = [
            list(xs) for xs, ys in lines(ax) if list(ys) == [0, 0] and len(xs) == 2 and xs[0] != xs[1]
        ]
        assert interval == pytest.approx(wanted[1:])
        expected = ax.patches[0].get_x(), ax.patches[0].get_x() + ax.patches[0].get_width()
        assert expected == pytest.approx((bound, ax.get_xlim()[1]))
