"""The figure of a normalization's page: which experiment it shows, its size, and when it is drawn again."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest
import yaml
from helpers.docs_script import DOCS, docs_script
from helpers.synthetic import write_results
from PIL import Image

from normbench.analysis.tables import load_tables
from normbench.norms import NORMS

RESULTS = DOCS.parent / "results" / "claims"
RATES = [0.1, 1.0, 10.0]


@pytest.fixture(scope="module")
def script():
    with docs_script("norm_figures") as module:
        yield module


def results(folder: Path, norms: list[str], rates: list[float] = RATES, seeds: int = 2, **axes: list) -> Path:
    swept = {"model.norm": norms, "optimizer.lr": rates}
    return write_results(
        folder, axes={**swept, **{k.replace("_", "."): v for k, v in axes.items()}}, seeds=seeds
    )


def test_the_experiment_with_most_others_fewest_settings_and_most_rates_is_chosen(script, tmp_path):
    both = ["none", "batchnorm", "layernorm"]
    folders = [
        results(tmp_path / "a_depths", both, [*RATES, 0.3], model_depth=[3, 10]),
        results(tmp_path / "b_alone", ["none", "layernorm"], [*RATES, 0.3, 3.0], seeds=4),
        results(tmp_path / "c_few", both),
        results(tmp_path / "d_more", both, [*RATES, 0.3]),
        results(tmp_path / "e_same", both, [*RATES, 0.3]),
        results(tmp_path / "f_two", [*both, "weightnorm"], RATES[:2], seeds=4),
        results(tmp_path / "g_other", ["layernorm", "selu"], seeds=4),
    ]
    found = script.comparisons(reversed(folders))
    assert {name: one.tables.folder.name for name, one in found.items()} == dict.fromkeys(both, "d_more")
    assert found["layernorm"].beside == ("none", "batchnorm")
    assert found["batchnorm"].beside == ("none",)
    only = script.comparisons(folders[:1])["layernorm"]
    assert only.settings == {"model.depth": 3}
    assert "with depth 3:" in only.text()
    assert len(only.chart.grid.places) == 2  # accuracy and loss


def test_an_experiment_without_rates_or_normalizations_gives_no_figure(script, tmp_path):
    folder = write_results(tmp_path / "a", axes={"model.norm": ["none", "batchnorm"]}, seeds=2)
    other = write_results(tmp_path / "b", axes={"optimizer.lr": RATES}, seeds=2)
    assert script.comparisons([folder, other]) == {}


def test_a_figure_is_drawn_again_only_when_the_results_are_others(script, tmp_path, monkeypatch):
    folder = results(tmp_path / "r", ["none", "batchnorm"])
    (one, _) = script.comparisons([folder]).values()
    path = tmp_path / "one.png"
    assert not one.is_drawn(path)
    one.save(path)
    assert one.is_drawn(path)
    with Image.open(path) as image:
        assert image.mode == "P"
        assert len(image.getcolors()) <= 64
        assert image.size[0] == pytest.approx(script.WIDTH * script.DOTS, abs=3)
    assert path.stat().st_size < 25_000
    runs = folder / "runs.csv"
    runs.write_text(runs.read_text(encoding="utf-8").replace(",0.1,", ",0.2,"), encoding="utf-8")
    (other, _) = script.comparisons([folder]).values()
    assert not other.is_drawn(path)
    monkeypatch.setattr(script, "LOOK", script.LOOK + 1)
    assert not one.is_drawn(path)


@pytest.mark.parametrize("name", NORMS)
def test_each_page_has_its_figure_with_words_for_those_who_cannot_see_it(name):
    path = DOCS / "norms" / f"{name}.png"
    assert path.stat().st_size < 25_000
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.endswith(f"]({name}.png)")]
    assert name in line
    caption = page.split(line)[1].split("##")[0]
    assert "95 % interval" in caption
    assert " seeds; " in caption
    (folder,) = [one for one in RESULTS.iterdir() if f"`{one.name}`" in caption]
    title = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["title"]
    assert title.rstrip(".") in caption


def test_the_points_are_the_means_of_the_records(script):
    folder = RESULTS / "c24_residual_conv"
    (one,) = [
        one
        for one in script.of_experiment(load_tables(folder))
        if one.norm == "fixup" and one.settings == {"model.residual": "true"}
    ]
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        accuracies = [
            float(row["final_test_accuracy"])
            for row in csv.DictReader(file)
            if row["model.norm"] == "fixup" and float(row["optimizer.lr"]) == 0.1
        ]
    assert len(accuracies) == 5
    frame = one.chart.frame
    color = one.chart.color.labels.index("fixup")
    (drawn,) = frame[(frame["block"] == 0) & (frame["color"] == color) & (frame["x"] == 0.1)]["mean"]
    assert drawn == pytest.approx(statistics.mean(accuracies))
