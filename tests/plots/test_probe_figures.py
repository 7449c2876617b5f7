"""The figures of the probes: readable, true to layers.csv, and of what the reader chose."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.figures import assert_readable, pages, panel, texts
from helpers.synthetic import CENTRES, write_layers, write_results

from normbench import plots
from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots.figures import FIGURES
from normbench.plots.probed import layers_of, spans_decades

NAMES = [kind.key() for kind in FIGURES.classes() if kind.probe]
TITLE = "Costs $5, or $6 & <more>"


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Two normalizations and three rates, of which none trains at the largest."""
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.01, 0.1, 10.0]}
    folder = tmp_path_factory.mktemp("probed") / "p"
    return write_layers(write_results(folder, axes=axes, seeds=3, title=TITLE), steps=6)


@pytest.fixture(scope="module")
def tables(probed):
    return load_tables(probed)


def variants(folder, **axes):
    return write_results(folder, axes={"model.norm": ["none", "batchnorm"], **axes}, seeds=2)


def values(tables, quantity, layer, **cell):
    """Return steps x runs of a quantity, for the finished runs of a cell."""
    runs = tables.runs[tables.runs["status"] == "finished"]
    for key, value in cell.items():
        runs = runs[runs[key] == value]
    table = tables.layers[(tables.layers["quantity"] == quantity) & (tables.layers["layer"] == layer)]
    return table[table["run"].isin(runs.index)].pivot(index="step", columns="run", values="value")


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_is_readable_and_says_what_it_shows(tables, name):
    drawn = pages(tables, name)
    assert drawn
    for figure in drawn.values():
        assert_readable(figure)
        said = texts(figure)
        for words in ("n = 3 seeds", "1,000 steps", TITLE, "width 100"):
            assert words in said


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in ("against", "stable_rate")]
)  # which need a sweep
def test_one_run_and_one_step(tmp_path, name):
    folder = write_results(tmp_path / "o", axes={"model.norm": ["batchnorm"]}, seeds=1)
    for figure in pages(load_tables(write_layers(folder, steps=1)), name).values():
        assert_readable(figure)
        assert "n = 1 seed" in texts(figure)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_every_run_diverged(tmp_path, name):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [1.0, 3.0, 10.0]}
    folder = write_results(tmp_path / "d", axes=axes, seeds=2, diverge=True)
    for figure in pages(load_tables(write_layers(folder, steps=40)), name).values():
        assert_readable(figure)
        assert name in (
            "cost",
            "against",
            "stable_rate",
        ) or "12 diverged runs are left out of means" in texts(figure)


@pytest.fixture(scope="module")
def two_depths(tmp_path_factory):
    """Write the largest folder of this file once for all figures."""
    axes = {"model.depth": [3, 24], "optimizer.lr": [0.01, 0.03, 0.1]}
    folder = variants(tmp_path_factory.mktemp("depths") / "l", **axes)
    return load_tables(write_layers(folder, steps=9, log=True))


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_two_depths_and_steps_on_a_logarithmic_axis(two_depths, name):
    for figure in pages(two_depths, name).values():
        assert_readable(figure)


def test_are_drawn_where_the_quantities_were_measured(tmp_path):
    folder = variants(tmp_path / "w")
    assert not [kind.name for kind in plots.choose(load_tables(folder)) if kind.probe]
    write_layers(folder, steps=3, probes=["weights", "sharpness"])
    chosen = [kind.name for kind in plots.choose(load_tables(folder)) if kind.probe]
    assert chosen == ["sharpness", "v_norm", "against"]
    message = r"'ridge': it shows what the probe 'activations' measures; .*layers.csv has sharpness, weights"
    with pytest.raises(NormbenchError, match=message):
        plots.choose(load_tables(folder), ["ridge"])


@pytest.mark.parametrize("name", [n for n in NAMES if FIGURES[n].any_quantity])
def test_a_quantity_that_is_named_is_drawn_though_it_is_not_usual(tmp_path, name):
    folder = write_layers(variants(tmp_path / "q"), steps=3, probes=["weights"])
    layers = pd.read_csv(folder / "layers.csv")
    layers[layers["quantity"] == "weights.norm"].to_csv(folder / "layers.csv", index=False)
    tables = load_tables(folder)
    with pytest.raises(NormbenchError, match=f"figure: '{name}': it shows what"):
        plots.choose(tables, [name])
    (figure,) = pages(tables, name, quantities=["weights.norm"]).values()
    assert "norm of the weights" in texts(figure).lower()
    with pytest.raises(NormbenchError, match=r"quantity: 'weights\.nrm' was not measured here"):
        pages(tables, name, quantities=["weights.nrm"])


def test_the_percentiles_are_means_over_the_seeds(tables):
    (figure,) = pages(tables, "percentiles").values()
    cell = {"model.norm": "none", "optimizer.lr": 0.1}
    expected = [
        values(tables, f"activations.input_p{p}", "hidden.3", **cell).mean(axis=1) for p in (15, 50, 85)
    ]
    drawn = [line.get_ydata() for ax in figure.axes for line in ax.lines]
    for percentile in expected:
        assert any(len(y) == len(percentile) and np.allclose(y, percentile) for y in drawn)


def test_the_layer_can_be_chosen(tables):
    (figure,) = pages(tables, "percentiles", layer="hidden.0").values()
    assert "activation of hidden.0" in texts(figure)
    with pytest.raises(
        NormbenchError, match=r"layer: 'hiden.1' was not measured here; did you mean 'hidden.1'"
    ):
        pages(tables, "percentiles", layer="hiden.1")


def test_nets_of_several_depths_show_their_own_last_layer(tmp_path):
    folder = variants(tmp_path / "n", **{"model.depth": [3, 10]})
    (figure,) = pages(load_tables(write_layers(folder, steps=3)), "percentiles").values()
    assert "each net's last hidden layer" in texts(figure)
    assert all(ax.lines for ax in figure.axes)


def test_the_landscape_has_a_band_for_each_variant(tables):
    (figure,) = pages(tables, "landscape", panel="lr").values()
    loss = panel(figure)
    low = np.exp(
        np.log(values(tables, "landscape.loss_min", "net", **{"optimizer.lr": 0.01}))
        .T.groupby(tables.runs["model.norm"])
        .mean()
    ).T
    drawn = [line.get_ydata() for line in loss.lines]
    for norm in ("none", "batchnorm"):
        assert any(np.allclose(y, low[norm]) for y in drawn)
    assert len(loss.collections) == 2
    assert "ranges over several step lengths along the gradient" in texts(figure).lower()


def test_rate_times_sharpness_stands_beside_two(tables):
    (figure,) = pages(tables, "sharpness").values()
    across = [line for line in panel(figure).lines if list(line.get_ydata()) == [2.0, 2.0]]
    assert len(across) == 1
    assert "2: gradient descent is stable below" in texts(figure)
    assert "one diverged run" in texts(figure)


def test_the_predicted_rate_stands_beside_the_one_that_was_found(tables):
    (figure,) = pages(tables, "stable_rate").values()
    runs = tables.runs[tables.runs["model.norm"] == "batchnorm"]
    table = tables.layers[tables.layers["quantity"] == "sharpness.stable_rate"]
    start = table[(table["step"] == 0) & table["run"].isin(runs.index)]
    seeds = start.groupby(start["run"].map(runs["seed"]))["value"].median()
    marks = [x for line in panel(figure).lines for x in line.get_xdata()]
    assert any(np.isclose(x, np.exp(np.log(seeds).mean())) for x in marks)
    assert any(np.isclose(x, 1.0) for x in marks)  # between 0.1, which trains, and 10, which does not


def test_only_nets_with_a_v_show_its_norm(probed, tmp_path):
    for name in ("config.yaml", "runs.csv", "metrics.csv"):
        (tmp_path / name).write_bytes((probed / name).read_bytes())
    table = pd.read_csv(probed / "layers.csv")
    runs = pd.read_csv(probed / "runs.csv").set_index("run_id")["model.norm"]
    plain = (table["run_id"].map(runs) == "none") & (table["quantity"] == "weights.v_norm")
    table[~plain].to_csv(tmp_path / "layers.csv", index=False)
    (figure,) = pages(load_tables(tmp_path), "v_norm").values()
    assert len(figure.axes) == 2  # norm and effective rate of one variant


def test_the_map_holds_the_means(tables):
    drawn = pages(tables, "layer_heatmap", panel="norm,lr")
    figure = drawn["layer_heatmap_activations_input_std"]
    runs = tables.runs
    for cell in ((0.01, "none"), (0.1, "batchnorm")):
        own = {"optimizer.lr": cell[0], "model.norm": cell[1]}
        assert len(runs[(runs["optimizer.lr"] == cell[0]) & (runs["model.norm"] == cell[1])]) == 3
        rows = [values(tables, "activations.input_std", f"hidden.{i}", **own).mean(axis=1) for i in range(4)]
        maps = [ax.collections[0].get_array() for ax in figure.axes if ax.get_label().startswith("panel")]
        assert any(np.ma.allclose(found.reshape(4, -1), rows) for found in maps)


def test_quantities_and_steps_can_be_chosen(tables):
    drawn = pages(tables, "layer_heatmap", "layers", quantities=["weights.norm"], steps=[0, 590])
    assert list(drawn) == ["layer_heatmap_weights_norm", "layers_weights_norm"]
    heads = {ax.get_title() for ax in drawn["layers_weights_norm"].axes} - {""}
    assert heads == {"step 0", "step 600"}
    with pytest.raises(NormbenchError, match=r"quantity: 'ics.nrom' .*did you mean 'ics.norm'"):
        pages(tables, "layers", quantities=["ics.nrom"])


def test_files_are_named_after_the_quantity(probed, tmp_path):
    wish = {"quantities": ["activations.dead"], "steps": [200], "layer": "hidden.0", "formats": ["png"]}
    drawn = plots.plot_results(probed, ["layers", "ridge"], out=tmp_path, **wish)
    assert [path.name for path in drawn] == ["layers_activations_dead.png", "ridge.png", "ridge_layers.png"]


def test_a_spike_does_not_flatten_the_rest_of_a_histogram(tables):
    table = tables.layers.astype({"quantity": str})
    bins = table["quantity"].str.startswith("activations.density@")
    zero = table["quantity"] == f"activations.density@{CENTRES[np.abs(CENTRES).argmin()]:g}"
    values = table["value"].where(~bins, table["value"] * 0.3).where(~zero, 0.7)
    spiked = replace(tables)
    vars(spiked)["layers"] = table.assign(value=values).astype({"quantity": "category"})
    plain, cut = pages(tables, "ridge")["ridge"], pages(spiked, "ridge")["ridge"]
    assert "are cut off" in texts(cut)
    heights = [np.sort(panel(figure).lines[-1].get_ydata())[-4] for figure in (plain, cut)]
    assert heights[1] > 0.5 * heights[0]


def test_a_shift_of_zero_has_no_place_on_a_logarithmic_axis(tmp_path):
    folder = write_layers(variants(tmp_path / "z", **{"model.depth": [40]}), steps=3)
    figure = pages(load_tables(folder), "layers")["layers_ics_norm"]
    assert panel(figure).get_yscale() == "log"
    assert "values of 0 are left out" in texts(figure)


def test_histograms_say_their_bins(tables):
    drawn = pages(tables, "ridge")
    assert list(drawn) == ["ridge", "ridge_layers"]
    assert f"bins of {CENTRES[1] - CENTRES[0]:.3g}" in texts(drawn["ridge"])
    for name, downward in (
        ("ridge", ["0", "200", "400", "600", "800", "1,000"]),
        ("ridge_layers", ["hidden.3", "hidden.2", "hidden.1", "hidden.0"]),
    ):
        ticks = panel(drawn[name]).yaxis.get_ticklabels()
        assert [tick.get_text() for tick in sorted(ticks, key=lambda t: -t.get_position()[1])] == downward


def test_the_bars_of_cost_are_sums(tables):
    drawn = pages(tables, "cost")
    assert list(drawn) == ["cost", "cost_memory"]
    ax = panel(drawn["cost"])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["none", "batchnorm"]
    layers = tables.layers[
        tables.layers["quantity"].isin([f"cost.{p}_seconds" for p in ("forward", "backward", "update")])
    ]
    layers = layers[np.isfinite(layers["value"])].astype({"quantity": str})
    medians = layers.groupby(["run", "quantity"])["value"].median().reset_index()
    norms = medians["run"].map(tables.runs["model.norm"])
    whole = medians.groupby([norms, "quantity"])["value"].mean().groupby(level=0).sum()
    ends = {bar.get_y() + bar.get_height() / 2: bar.get_x() + bar.get_width() for bar in ax.patches}
    assert ends[0] == pytest.approx(1e6 * whole["none"])
    assert ends[1] == pytest.approx(1e6 * whole["batchnorm"])


def test_a_quantity_against_the_rate(tables):
    drawn = pages(tables, "against", quantities=["ics.norm", "weights.v_norm"], layer="hidden.1")
    for quantity, at in (("ics.norm", "mean"), ("weights.v_norm", "last")):
        figure = drawn[f"against_{quantity.replace('.', '_')}"]
        means = []
        for rate in (0.01, 0.1):
            found = values(tables, quantity, "hidden.1", **{"model.norm": "none", "optimizer.lr": rate})
            means.append(found.mean().mean() if at == "mean" else found.iloc[-1].mean())
        assert any(np.allclose(line.get_ydata(), means) for line in panel(figure).lines)
        assert "of hidden.1" in texts(figure)
    (figure,) = pages(tables, "against", quantities=["ics.norm"], steps=[0], layer="classifier").values()
    assert "at step 0" in texts(figure)


@pytest.mark.parametrize("name", ["layers", "v_norm"])
def test_a_dead_net_does_not_squeeze_the_others(tables, name):
    quantity = {"layers": "gradients.norm", "v_norm": "weights.v_norm"}[name]
    runs = tables.runs.index[(tables.runs["model.norm"] == "none") & (tables.runs["optimizer.lr"] == 0.1)]
    layers = tables.layers.copy()
    dead = (layers["quantity"] == quantity) & layers["run"].isin(runs)
    layers.loc[dead, "value"] = 1e-30
    layers.loc[(layers["quantity"] == quantity) & ~dead, "value"] *= 1000.0 ** (layers["step"] % 2)
    changed = replace(tables)
    vars(changed)["layers"] = layers
    for figure in pages(changed, name, quantities=[quantity] if name == "layers" else None).values():
        low, high = panel(figure).get_ylim()
        assert low > 1e-20
        assert high / low < 1e10
        assert "single values far beyond the others are cut off" in texts(figure)


def test_layers_stand_in_the_order_of_depth():
    shallow = [(0, name) for name in ("hidden.0", "hidden.1", "classifier")]
    deep = [(1, f"hidden.{i}") for i in range(11)] + [(1, "classifier")]
    table = pd.DataFrame(shallow + deep, columns=["run", "layer"])
    assert layers_of(table) == [*(f"hidden.{i}" for i in range(11)), "classifier"]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([1, 100], True),
        ([1, 2], False),
        ([-1, 100], False),
        ([0, 1, 100], True),
        ([], False),
        ([np.nan], False),
    ],
)
def test_what_spans_decades_gets_a_logarithmic_scale(numbers, wanted):
    assert spans_decades(np.array(numbers, dtype=float)) == wanted
