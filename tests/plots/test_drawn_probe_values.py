"""What the figures of layers.csv draw, against numbers that plain Python makes of this file."""

import math
import statistics

import numpy as np
import pytest
from helpers.figures import bands, colors, dots, lines, pages, panel, panels, texts
from helpers.plain_records import Records, band, bands_at, finite
from helpers.synthetic import CENTRES, write_layers, write_results
from matplotlib.colors import to_hex

from normbench.analysis.tables import load_tables
from normbench.plots.figures import FIGURES

NAMES = [kind.key() for kind in FIGURES.classes() if kind.probe]
CHECKS = {}
RATES = [0.1, 3.0, 30.0]
ENDED = ("trains", "stuck")
LAST = "hidden.1"


def check(name, **wishes):
    """Register a function as the check of a figure, drawn with these wishes."""

    def add(function):
        CHECKS[name] = function, wishes
        return function

    return add


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two normalizations, three rates, three seeds; some runs diverge."""
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES}
    folder = tmp_path_factory.mktemp("drawn") / "p"
    write_layers(write_results(folder, axes=axes, seeds=3), steps=5, depth=2)
    return load_tables(folder), Records(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_draws_the_numbers_of_the_records(sweep, name):
    tables, records = sweep
    assert name in CHECKS, f'{__file__}: add a function with @check("{name}") that checks what it draws'
    function, wishes = CHECKS[name]
    function(records, pages(tables, name, **wishes))


def curves(records, norm, lr, quantity, layer, outcomes=ENDED):
    found = [records.probed(run, quantity, layer) for run in records.cell(norm, lr, outcomes=outcomes)]
    return [{x: y for x, y in one.items() if finite(y)} for one in found]


def same_line(found, expected):
    """One of the lines is this {x: y}."""
    xs, ys = map(np.array, zip(*sorted(expected.items()), strict=True))
    assert any(
        len(x) == len(xs) and np.allclose(x, xs) and np.allclose(y, ys, rtol=1e-5) for x, y in found
    ), expected


def same_band(found, expected):
    """One of the bands is this {x: (low, high)}."""
    assert any(
        set(one) == set(expected) and all(one[x] == pytest.approx(expected[x], rel=1e-5) for x in one)
        for one in found
    ), expected


def mean_and_band(ax, color, expected):
    """A line through the means, with a band where there is more than one value."""
    same_line(lines(ax, color), {x: mean for x, (mean, _, _) in expected.items()})
    ends = {x: ends for x, (_, *ends) in expected.items() if finite(ends[0])}
    assert bool(ends) == bool(bands(ax, color))
    if ends:
        same_band(bands(ax, color), ends)


def over_steps(records, figure, blocks):
    """A column of panels for each norm, a line for each rate; a thin line for each diverged run."""
    for row, quantity, layer in blocks:
        for column, norm in enumerate(records.norms):
            ax = panel(figure, row, column)
            for lr in records.rates:
                color = colors(figure)[f"{lr:g}"]
                kept = curves(records, norm, lr, quantity, layer)
                if kept:
                    mean_and_band(ax, color, bands_at(kept, log=True))
                lost = curves(records, norm, lr, quantity, layer, ["diverged"])
                thin = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in lines(ax, color, linewidth=0.6)]
                assert len(thin) == len(lost)
                for curve in filter(None, lost):
                    same_line(thin, curve)


@check("sharpness")
def sharpness(records, drawn):
    (figure,) = drawn.values()
    over_steps(records, figure, [(0, "sharpness.times_rate", "net"), (1, "sharpness.largest", "net")])
    for column in range(len(records.norms)):
        assert [2.0, 2.0] in [list(y) for _, y in lines(panel(figure, 0, column))]


@check("v_norm")
def v_norm(records, drawn):
    (figure,) = drawn.values()
    over_steps(records, figure, [(0, "weights.v_norm", LAST), (1, "weights.effective_rate", LAST)])


@check("landscape", panel="lr")
def landscape(records, drawn):
    (figure,) = drawn.values()
    for column, lr in enumerate(records.rates):
        for norm in records.norms:
            color = colors(figure)[norm]
            if not records.cell(norm, lr, outcomes=ENDED):
                continue
            for row, name in ((0, "loss"), (1, "change")):
                low, high = (
                    bands_at(curves(records, norm, lr, f"landscape.{name}_{end}", "net"), log=True)
                    for end in ("min", "max")
                )
                ax = panel(figure, row, column)
                for edge in (low, high):
                    same_line(lines(ax, color), {x: one[0] for x, one in edge.items()})
                same_band(bands(ax, color), {x: (low[x][0], high[x][0]) for x in low})
            smooth = bands_at(curves(records, norm, lr, "landscape.smoothness", "net"), log=True)
            mean_and_band(panel(figure, 2, column), color, smooth)


@check("percentiles", panel="norm,lr")
def percentiles(records, drawn):
    (figure,) = drawn.values()
    found = panels(figure)
    cells = _cells(figure, records)
    assert len(cells) == len(found)
    for place, (norm, lr) in cells.items():
        kept = {p: bands_at(curves(records, norm, lr, f"activations.input_p{p}", LAST)) for p in (15, 50, 85)}
        for one in kept.values():
            if one:
                same_line(lines(found[place]), {x: mean for x, (mean, _, _) in one.items()})
        if kept[15]:
            same_band(bands(found[place]), {x: (kept[15][x][0], kept[85][x][0]) for x in kept[15]})


def _cells(figure, records):
    """Return norm and rate of each panel: one of them names the columns, the other the rows."""
    found = panels(figure)
    heads = {c: found[0, c].get_title() for r, c in found if r == 0}
    if any("rate" in head for head in heads.values()):
        return {(r, c): (records.norms[r], records.rates[c]) for r, c in found}
    return {(r, c): (records.norms[c], records.rates[r]) for r, c in found}


@check("stable_rate")
def stable_rate(records, drawn):
    (figure,) = drawn.values()
    ax = panel(figure)
    start, end, found = (
        next(color for text, color in colors(figure).items() if word in text)
        for word in ("first measurement", "last one", "found")
    )
    for row, norm in enumerate(records.norms):
        best = records.best_lr(norm)
        first = {
            seed: statistics.median(
                records.probed(run, "sharpness.stable_rate", "net")[0.0]
                for run in records.cell(norm, seed=seed)
                if finite(records.probed(run, "sharpness.stable_rate", "net")[0.0])
            )
            for seed in records.seeds
        }
        last = [
            list(records.probed(run, "sharpness.stable_rate", "net").values())[-1]
            for run in records.cell(norm, best, outcomes=ENDED)
        ]
        edges = [records.edge(norm, seed) for seed in records.seeds]
        assert all(edges)
        middle = [math.sqrt(top * above) for top, above, _ in edges]
        wanted = {
            start: band(list(first.values()), log=True),
            end: band(last, log=True),
            found: (
                band(middle, log=True)[0],
                band([top for top, _, _ in edges], log=True)[1],
                band([above for _, above, _ in edges], log=True)[2],
            ),
        }
        for color, (mean, low, high) in wanted.items():
            (mark,) = [x for x, y in dots(ax, color) if abs(y - row) < 0.4]
            assert mark == pytest.approx(mean)
            (ends,) = [
                points[:, 0]
                for c in ax.collections
                if to_hex(c.get_colors()[0]) == color
                for points in c.get_segments()
                if abs(points[0, 1] - row) < 0.4
            ]
            assert list(ends) == pytest.approx([low, min(high, ax.get_xlim()[1])])


@check("layer_heatmap", quantities=["activations.input_std"], panel="norm,lr")
def layer_heatmap(records, drawn):
    (figure,) = drawn.values()
    for place, (norm, lr) in _cells(figure, records).items():
        mesh = panels(figure)[place].collections[0].get_array()
        for row in (0, 1):
            means = bands_at(curves(records, norm, lr, "activations.input_std", f"hidden.{row}"))
            own = np.ma.filled(np.ma.asarray(mesh).reshape(2, -1)[row], np.nan)
            steps = sorted({row["step"] for row in records.layers})
            wanted = [means.get(step, (math.nan,))[0] for step in steps]
            assert list(own) == pytest.approx(wanted, nan_ok=True)


@check("layers", quantities=["gradients.norm"], panel="lr", steps=[0, 500])
def layers(records, drawn):
    (figure,) = drawn.values()
    names = [tick.get_text() for tick in panel(figure, len(records.rates) - 1).get_xticklabels()]
    assert names == ["hidden.0", "hidden.1", "classifier"]
    for row, lr in enumerate(records.rates):
        for column, step in enumerate((0.0, 500.0)):
            assert panel(figure, 0, column).get_title() == f"step {step:g}"
            for norm in records.norms:
                places = {}
                for x, layer in enumerate(names):
                    own = curves(records, norm, lr, "gradients.norm", layer)
                    places[x] = band([one[step] for one in own if step in one], log=True)
                if finite(places[0][0]):
                    mean_and_band(panel(figure, row, column), colors(figure)[norm], places)


@check("ridge", panel="norm,lr")
def ridge(records, drawn):
    steps = sorted({row["step"] for row in records.layers})
    levels = {
        "ridge": [(step, LAST) for step in steps],
        "ridge_layers": [(steps[-1], f"hidden.{i}") for i in (1, 0)],  # the output at the top
    }
    for name, rows in levels.items():
        figure, pairs = drawn[name], []
        for place, (norm, lr) in _cells(figure, records).items():
            found = sorted(panels(figure)[place].lines, key=lambda line: line.get_zorder())
            alive = bool(records.cell(norm, lr, outcomes=ENDED))
            assert len(found) == (len(rows) if alive else 0)
            for i, line in enumerate(found):
                heights = line.get_ydata()[1:] - (len(rows) - 1 - i)
                pairs += zip(heights, _shares(records, norm, lr, *rows[i]), strict=True)
        drawn_heights, shares = np.array(pairs).T
        whole = drawn_heights < 2.2 - 1e-9  # higher ones are cut off
        scale = np.median(drawn_heights[whole] / shares[whole])  # of all panels
        assert list(drawn_heights) == pytest.approx(list(np.minimum(scale * shares, 2.2)))


def _shares(records, norm, lr, step, layer):
    """Return the mean share of each bin of a histogram."""
    names = [f"activations.density@{centre:g}" for centre in CENTRES]
    bins = [curves(records, norm, lr, name, layer) for name in names]
    return [statistics.mean(one[step] for one in own) for own in bins]


@check("against", quantities=["ics.norm", "weights.v_norm"], layer="classifier")
def against(records, drawn):
    for quantity, reduce in (("ics.norm", statistics.mean), ("weights.v_norm", lambda values: values[-1])):
        figure = drawn[f"against_{quantity.replace('.', '_')}"]
        ax = panel(figure)
        log = ax.get_yscale() == "log"
        for norm in records.norms:
            color, means = colors(figure)[norm], {}
            for lr in records.rates:
                own = curves(records, norm, lr, quantity, "classifier")
                means[lr] = band([reduce(list(one.values())) for one in own], log)
            same_line(
                lines(ax, color, marker="None"), {lr: one[0] for lr, one in means.items() if finite(one[0])}
            )
            floor = max([p.get_y() + p.get_height() for p in ax.patches], default=-math.inf)
            ends = {lr: (max(low, floor), high) for lr, (_, low, high) in means.items() if finite(low)}
            same_band(bands(ax, color), ends)


@check("cost")
def cost(records, drawn):
    time, memory = drawn["cost"], drawn["cost_memory"]
    for figure, parts, whole, unit, name in (
        (time, ("forward_seconds", "backward_seconds", "update_seconds"), "step_seconds", 1e-6, "(µs)"),
        (memory, ("saved_bytes", "parameter_bytes"), None, 1e3, "(kB)"),
    ):
        ax = panel(figure)
        assert name in texts(figure)
        assert [tick.get_text() for tick in ax.get_yticklabels()] == records.norms
        for row, norm in enumerate(records.norms):

            def per_run(name, norm=norm, unit=unit):
                found = [
                    [v for v in records.probed(run, f"cost.{name}", "net").values() if finite(v)]
                    for run in records.cell(norm)
                ]
                return [statistics.median(values) / unit for values in found if values]

            start = 0.0
            bars = [b for b in ax.patches if b.get_y() + b.get_height() / 2 == pytest.approx(row)]
            assert len(bars) == len(parts)
            for name, bar in zip(parts, bars, strict=True):
                assert bar.get_x() == pytest.approx(start)
                assert bar.get_width() == pytest.approx(statistics.mean(per_run(name)))
                start += bar.get_width()
            (number,) = [text.get_text() for text in ax.texts if text.xy[1] == row]
            assert number == f"{start:.3g}"
            if whole:
                mean, low, high = band(per_run(whole))
                assert [x for x, y in dots(ax, marker="|") if y == row] == [pytest.approx(mean)]
                (ends,) = [list(x) for x, y in lines(ax, marker="None") if set(y) == {row}]
                assert ends == pytest.approx([low, high])
