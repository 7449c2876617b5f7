"""`where`: only the runs that match are drawn, and a key or value that is not there is refused."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cli import call, good
from helpers.figures import colors, lines, pages, panel, panels, texts
from helpers.plain_records import Records, band
from helpers.synthetic import write_layers, write_results

from normbench.analysis.judge import judge_all
from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots import choose, compute
from normbench.plots.figures import FIGURES
from normbench.plots.where import narrowed

RATES = [0.1, 0.3162278, 1.0]
CLAIM = {
    **{"id": "C", "statement": "It is.", "measure": "max_stable_lr", "expect": {"ratio_at_least": 1}},
    **{"of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}, "for_each": ["model.depth"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    axes = {
        **{"model.norm": ["none", "batchnorm", "selu"], "model.depth": [3, 10]},
        **{"model.activation": ["relu", "sigmoid"], "optimizer.lr": RATES},
    }
    where = write_results(
        tmp_path_factory.mktemp("where") / "r", axes=axes, seeds=2, evaluations=3, claims=[CLAIM]
    )
    return write_layers(where, steps=2, depth=1)


@pytest.fixture(scope="module")
def tables(folder):
    return load_tables(folder)


DEPTH = ["model.depth=3", "activation=relu"]


def test_only_the_named_values_are_drawn(folder, tables):
    wishes = [*DEPTH, "norm=none", "norm=batchnorm"]
    (page,) = pages(tables, "rate", where=wishes).values()
    assert len(panels(page)) == 2
    records = Records(folder)
    assert set(colors(page)) >= {"none", "batchnorm"}
    assert "selu" not in colors(page)
    for norm in ("none", "batchnorm"):
        runs = [
            run for run in records.cell(norm) if run["model.depth"] == 3 and run["model.activation"] == "relu"
        ]
        wanted = {}
        for lr in RATES:
            kept = [
                r["final_test_accuracy"]
                for r in runs
                if r["optimizer.lr"] == lr and r["outcome"] != "diverged"
            ]
            if kept:
                wanted[lr] = band(kept)[0]
        drawn = lines(panel(page), colors(page)[norm], marker="None")
        wanted = np.array(sorted(wanted.items()))
        assert any(np.column_stack(d).shape == wanted.shape and np.allclose(np.column_stack(d), wanted)
                   for d in drawn)  # fmt: skip
    assert "only runs with depth 3, activation relu, norm none or batchnorm" in texts(page)


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("cost", "montage", "claims")])
def test_every_figure_is_narrowed(tables, name):
    for _, chart in compute(tables, [name], where=DEPTH):
        heads = [*chart.grid.heads.values(), *chart.grid.strips.values(), *chart.color.labels]
        said = " ".join([chart.caption, *chart.warnings, chart.footer, *heads])
        assert "depth 3" in said
        assert "depth 10" not in said
        assert "sigmoid" not in said


def test_a_run_that_decides_a_key_is_kept_with_the_values_of_others(tables):
    kept = narrowed(tables, ["activation=sigmoid"])
    assert set(kept.runs["model.norm"]) == {"none", "batchnorm", "selu"}
    alone = narrowed(tables, ["activation=selu"])
    assert set(alone.runs["model.norm"]) == {"selu"}


def test_curves_and_layers_stay_with_their_runs(tables):
    kept = narrowed(tables, ["norm=batchnorm", "seed=1", "lr=0.316"])
    assert len(kept.runs) == 4
    for name in ("metrics", "layers"):
        rows, whole = getattr(kept, name), getattr(tables, name)
        for position, run in kept.runs.iterrows():
            (before,) = tables.runs.index[tables.runs["run_id"] == run["run_id"]]
            own, other = rows[rows["run"] == position], whole[whole["run"] == before]
            assert len(own) == len(other) > 0
            assert (
                own.drop(columns="run")
                .reset_index(drop=True)
                .equals(other.drop(columns="run").reset_index(drop=True))
            )


def test_claims_keep_the_verdicts_of_all_runs(tables):
    (page,) = pages(tables, "claims", where=["depth=10"]).values()
    (verdict,) = [one for one in judge_all(tables) if one.at["model.depth"] == 10]
    assert f"{verdict.verdict}, n = {verdict.n}" in texts(page)
    assert "only verdicts about depth 10; judged with all runs and verdicts" in texts(page)
    with pytest.raises(NormbenchError, match=r"'claims'.* makes no sense .* with this --where; here: "):
        pages(tables, "claims", where=["norm=none"])
    chosen = choose(narrowed(tables, ["norm=none"]))
    assert "claims" not in [kind.name for kind in chosen]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("norm", "where: 'norm' is no KEY=VALUE"),
        ("nrom=none", "where: 'nrom' is not swept here.* one of: model.norm, model.depth"),
        ("width=8", "where: 'width' is not swept here"),
        (
            "norm=batchnrom",
            "where: model.norm: 'batchnrom' is none of its .*did you mean 'batchnorm'",
        ),
        ("depth=4", "where: model.depth: '4' is none of its values here; one of: 3, 10"),
        ("lr=0.2", "where: optimizer.lr: '0.2' is none of .*one of: 0.1, 0.316, 1"),
        ("seed=7", "where: seed: '7' is none of its values here; one of: 0, 1"),
        ("norm=", "where: model.norm: '' is none of its values"),
    ],
)
def test_what_is_not_there_is_refused_with_the_choices(tables, wish, said):
    with pytest.raises(NormbenchError, match=said):
        pages(tables, "rate", where=[wish])


def test_values_that_never_meet_are_refused(tables):
    with pytest.raises(NormbenchError, match="has no run with norm none, activation selu"):
        pages(tables, "rate", where=["norm=none", "activation=selu"])


def test_missing_values_and_booleans_can_be_named(tmp_path):
    axes = {"model.norm.detached": [True, False], "model.norm.eps": [1e-5, 0.001], "optimizer.lr": RATES[:2]}
    tables = load_tables(write_results(tmp_path / "b", axes=axes, seeds=1))
    assert len(narrowed(tables, ["detached=true"]).runs) == 4
    assert len(narrowed(tables, ["eps=0.00001", "detached=false"]).runs) == 2
    runs = tables.runs.copy()
    runs.loc[:3, "model.norm.eps"] = None
    tables.runs.update(runs)
    assert len(narrowed(replace(tables, runs=runs), ["eps=none"]).runs) == 4


def test_the_command_line_narrows(folder, tmp_path):
    wishes = ["--where", "model.norm=none", "--where", "depth=3"]
    done = good("plot", folder, "--figure", "heatmap", "--format", "svg", "--out", tmp_path, *wishes)
    assert done.stdout.split() == [str(tmp_path / "heatmap.svg")]
    bad = call("plot", folder, "--where", "model.norm=nope")
    assert bad.exit_code == 2
    assert "one of: none, batchnorm, selu" in bad.stderr
