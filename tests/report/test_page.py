"""The page: its structure, its numbers, its size; nothing is loaded, everything is escaped."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import yaml
from helpers.page import parse
from helpers.results import claim, rate_runs, run, write
from helpers.synthetic import RATES, write_layers, write_results

from normbench.analysis.summary import summary_rows
from normbench.analysis.tables import load_tables
from normbench.analysis.verify import corrected_together, verify
from normbench.report.figure import fit
from normbench.report.page import MOST_BYTES, Page, most_bytes

CLAIM = {
    "id": "C2",
    "statement": "Batch normalization allows larger learning rates.",
    "source": "Ioffe & Szegedy 2015",
    "reports": "30 times larger ones <Fig. 2>",
    "measure": "max_stable_lr",
    "of": {"model.norm": "batchnorm"},
    "against": {"model.norm": "none"},
    "for_each": ["model.depth"],
    "expect": {"ratio_at_least": 3},
}
PRIMARY = {
    "primary": True,
    "measure": "final_accuracy",
    "of": {"model.norm": "batchnorm"},
    "against": {"model.norm": "none"},
    "expect": {"difference_at_least": 0},
}
AXES = {"model.norm": ["none", "batchnorm", "selu"], "model.depth": [3, 5], "optimizer.lr": RATES}
SESSION = {
    "cpu": "a <fast> one",
    "cores": 2,
    "device": "cpu",
    "git": {"commit": "0123456789abcdef", "dirty": True},
    "command": "normbench run configs/x.yaml --threads 1",
    "start": "2026-01-01T00:00:00Z",
    "versions": {"normbench": "0.2.0", "torch": "2.6.0"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("report") / "swept"
    write_results(root, axes=AXES, seeds=3, title="Which one?", claims=[CLAIM])
    write_layers(root, steps=4, start="sharpness")
    (root / "environment.json").write_text(json.dumps({"sessions": [SESSION]}))
    return root


@pytest.fixture(scope="module")
def html(folder):
    return Page([folder]).html


@pytest.fixture(scope="module")
def page(html):
    return parse(html)


def test_nothing_is_loaded(html, page):
    assert not [node.tag for node in page.all() if node.tag in ("link", "img", "iframe", "object", "base")]
    for node in page.all():
        for name, value in node.attributes.items():
            if name in ("src", "href", "action", "data", "poster", "srcset"):
                assert value.startswith("#"), (node.tag, name, value)
            assert not name.startswith("on")
    assert "http" not in html
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


def test_every_link_leads_somewhere_and_ids_are_used_once(page):
    ids = [node.attributes["id"] for node in page.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    assert {node.attributes["href"][1:] for node in page.all() if "href" in node.attributes} <= set(ids)
    used = {node.attributes["aria-labelledby"] for node in page.all() if "aria-labelledby" in node.attributes}
    assert used <= set(ids)


def test_every_picture_has_a_text_or_is_decoration(page):
    for svg in page.all("svg"):
        hidden = svg.attributes.get("aria-hidden") == "true"
        assert hidden or (svg.attributes["role"] == "img" and len(svg.attributes["aria-label"]) > 10)


def test_the_answer_comes_first_then_claims_figures_and_runs(page):
    heads = [node.text for node in page.all("h2")]
    assert heads == ["Answer", "Claims", "Figures", "Runs", "Origin"]
    assert page.one("h1").text == "Which one?"


def test_verdicts_are_those_of_verify(folder, page):
    verdicts = verify(folder, write=False).verdicts
    cards = page.one("article", class_="card")
    shown = cards.all(class_="verdict")
    assert len(shown) == len(verdicts) == 2
    for one, box in zip(verdicts, shown, strict=True):
        assert box.one("span", class_="badge").text == one.verdict
        numbers = [node.text for node in box.one(class_="numbers").all("b")]
        assert numbers[-1] == str(one.n)
        assert one.reason in box.text
        if one.estimate == one.estimate:
            assert float(numbers[0].rstrip("x")) == pytest.approx(one.estimate, rel=5e-3)
            ends = [float(end.rstrip("x")) for end in numbers[1].split(" to ")]
            assert ends == pytest.approx([one.ci_low, one.ci_high], rel=5e-3)
    facts = cards.text
    for wanted in (CLAIM["statement"], CLAIM["source"], CLAIM["reports"], "ratio at least 3"):
        assert wanted in facts
    for wanted in ("a <fast> one", "0123456789abcdef with uncommitted changes", SESSION["command"]):
        assert wanted in facts
    assert yaml.safe_load(cards.one("pre").words[0])[0] == {**CLAIM, "measure": {"name": "max_stable_lr"}}


def test_the_summary_is_that_of_the_end_of_a_run(folder, page):
    tables = load_tables(folder)
    expected = {(row["model.norm"], row["model.depth"]): row for row in summary_rows(tables)}
    seen = 0
    for body in page.one("table", class_="summary").all("tbody"):
        depth = int(re.search(r"depth (\d+)", body.one("tr", class_="group").text)[1])
        for row in body.all("tr")[1:]:
            wanted = expected[row.one("th").text, depth]
            cells = {cell.attributes["data-head"]: cell for cell in row.all("td")}
            assert list(cells) == ["stable rates", "largest rate", "best accuracy", "steps to target"]
            largest = cells["largest rate"].all("b")[0].text
            if wanted["largest_rate"]["n"]:
                assert float(largest) == pytest.approx(wanted["largest_rate"]["estimate"], rel=0.05)
                seen += 1
            else:
                assert largest == "trains at no rate"
            best = wanted["best"]
            assert cells["best accuracy"].all("b")[0].text == f"{best['estimate']:.3f}"
            assert f"[{max(best['low'], 0):.3f}, {min(best['high'], 1):.3f}]" in cells["best accuracy"].text
    assert seen >= 4


def test_the_stable_range_ends_where_rates_train(tmp_path):
    rates = [0.01, 0.1, 1, 10]
    runs = [one for s in (0, 1) for one in rate_runs({"model.norm": "none"}, s, rates, "STTD")]
    runs += [one for s in (0, 1) for one in rate_runs({"model.norm": "batchnorm"}, s, rates, "TTTT")]
    runs += [one for s in (0, 1) for one in rate_runs({"model.norm": "selu"}, s, rates, "SSSD")]
    page = parse(Page([write(tmp_path / "range", runs)]).html)
    cells = {
        row.one("th").text: row.all("td")[0].text for row in page.one("table", class_="summary").all("tr")[1:]
    }
    assert cells == {
        "none": "0.1 to 1 2 decades [1, 3]",
        "batchnorm": "0.01 to 10 at least 3 decades",
        "selu": "trains at no rate",
    }


def test_the_table_of_runs_has_the_numbers_of_the_file(folder, page):
    table = page.one("table", class_="sortable")
    heads = [node.text for node in table.one("thead").all("th")]
    rows = [[cell.text for cell in row.all("td")] for row in table.one("tbody").all("tr")]
    with (folder / "runs.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(rows) == len(expected)
    names = {"run": "run_id", "depth": "model.depth", "norm": "model.norm", "learning rate": "optimizer.lr"}
    names["final training loss"] = "train_loss_last_tenth"
    names["final test accuracy"] = "final_test_accuracy"
    for row, wanted in zip(rows, expected, strict=True):
        for head, cell in zip(heads, row, strict=True):
            value = wanted[names.get(head, head)] if head != "seconds" else wanted["train_seconds"]
            if head in ("run", "norm", "outcome") or not value:
                assert cell == value
            else:
                assert float(cell) == pytest.approx(float(value), rel=5e-5)


def test_marks_tell_the_numbers_of_the_figure(folder, page):
    from normbench.plots import compute

    ((_, chart),) = compute(load_tables(folder), ["largest_rate"])
    picture = page.one("figure", id="swept-largest_rate")
    told = [node.attributes.get("data-w", "") for node in picture.all("use")]
    told = [re.match(r"=(\S+) \[(\S+), (\S+)\], over seeds", text) for text in told]
    found = [[float(number) for number in match.groups()] for match in told if match]
    sums = chart.frame[chart.frame["mark"] == "summary"]
    wanted = sums[np.isfinite(sums["mean"])][["mean", "low", "high"]].to_numpy()
    assert len(found) == len(wanted) >= 4
    for numbers, row in zip(found, wanted, strict=True):
        assert numbers == pytest.approx(row, rel=5e-3)


def test_a_curve_of_one_run_names_its_row(folder, page):
    curves = [node for node in page.one(class_="curves").all("path") if "data-r" in node.attributes]
    rows = {int(node.attributes["data-r"]) for node in curves}
    runs = load_tables(folder).runs
    assert rows <= set(range(len(runs)))
    long = runs.index[runs["steps"] == 1000]
    assert set(long) <= rows


def test_the_probes_have_figures(page):
    names = {node.attributes["id"] for node in page.all("figure") if "id" in node.attributes}
    wanted = ("convergence", "convergence_accuracy", "rate", "largest_rate", "steps_to_target", "sharpness")
    assert names >= {f"swept-{name}" for name in wanted}


def test_equal_records_give_equal_pages(folder, html):
    assert Page([folder]).html == html


@pytest.mark.thorough
def test_2000_runs_fit_into_2_megabytes(tmp_path):
    axes = {
        "model.norm": ["none", "batchnorm", "layernorm", "weightnorm", "mean_only_batchnorm"],
        "model.depth": [3, 5, 10],
        "model.activation": ["sigmoid", "relu"],
        "optimizer.lr": RATES,
    }
    made = Page([write_results(tmp_path / "large", axes=axes, seeds=6, claims=[CLAIM])])
    assert 1900 < made.chapters[0].runs <= 2000
    assert len(made.html.encode()) <= MOST_BYTES == most_bytes(2000) == 2_000_000
    assert made.html.count("\n<tr><td>") == made.chapters[0].runs
    assert all(picture.rows and not picture.note for picture in made.chapters[0].pictures)


def test_without_room_the_largest_figures_lose_detail_and_say_so(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[::2]}
    made = Page([write_results(tmp_path / "small", axes=axes, seeds=2)])
    pictures = made.chapters[0].pictures
    room = 0.7 * sum(picture.size for picture in pictures)
    fit(pictures, room)
    assert 0 < sum(picture.size for picture in pictures) <= room
    assert any("So that the page stays small" in picture.note for picture in pictures)
    fit(pictures, 0)
    assert all("normbench plot" in picture.note and not picture.rows for picture in pictures)


EVIL = "</script><script>alert(1)</script>\"'&<b>"


def test_names_from_configs_are_escaped(tmp_path):
    cells = [
        {"model.norm": "none", "model.kind": EVIL},
        {"model.norm": "batchnorm", "model.kind": "`${x}{{7*7}}"},
    ]
    curve = {0: 0.1, 100: 0.5, 1000: 0.9}
    runs = [one for c in cells for s in (0, 1) for one in rate_runs(c, s, [0.1, 1, 10], "TTD", curve=curve)]
    bad = claim("max_stable_lr", expect={"ratio_at_least": 1}, statement=EVIL, source=EVIL, reports=EVIL)
    folder = write(tmp_path / "a'b\"<c>", runs, [bad])
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "title": EVIL, "name": EVIL}))
    (folder / "environment.json").write_text(json.dumps({"sessions": [{"cpu": EVIL, "command": EVIL}]}))
    html = Page([folder]).html
    page = parse(html)
    assert len(page.all("script")) == 1
    assert not page.all("b", class_=None, id=EVIL)
    assert "alert(1)</script>" not in html
    assert page.one("h1").text == " ".join(EVIL.split())
    assert "{{7*7}}" in page.one("table", class_="sortable").text
    assert EVIL in " ".join(value or "" for node in page.all("svg") for value in node.attributes.values())


def test_a_folder_without_results_says_how_far_it_is(tmp_path):
    runs = rate_runs({"model.norm": "none"}, 0, [0.1, 1], "..")
    page = parse(Page([write(tmp_path / "begun", runs)]).html)
    assert "0 of 2 runs have ended" in page.one(class_="state").text
    assert not page.all("table")


def test_curves_are_shown_before_the_first_run_has_ended(tmp_path):
    cells = [{"model.norm": norm} for norm in ("none", "batchnorm")]
    curve = {0: 0.1, 100: 0.4, 200: 0.6}
    runs = [one for cell in cells for one in rate_runs(cell, 0, [0.1, 1], "..", curve=curve)]
    folder = write(tmp_path / "training", runs)
    page = parse(Page([folder]).html)
    assert "0 of 4 runs have ended" in page.one(class_="state").text
    lines = page.one("figure", id="training-convergence_accuracy").all("path", class_="i")
    assert [line.attributes["data-w"] for line in lines] == ["1 seed; =0.6 at step 200"] * 4
    assert not page.all(class_="summary")


def test_an_unfinished_folder_shows_what_is_there(tmp_path):
    curve = {0: 0.1, 1000: 0.9}
    runs = [
        one for s in (0, 1) for one in rate_runs({"model.norm": "none"}, s, [0.1, 1, 10], "TT.", curve=curve)
    ]
    page = parse(Page([write(tmp_path / "half", runs)]).html)
    assert "4 of 6 runs have ended" in page.one(class_="state").text
    cells = [row.text for row in page.one("table", class_="sortable").one("tbody").all("tr")]
    assert sum("pending" in cell for cell in cells) == 2


def test_the_primary_verdicts_of_a_book_come_first_corrected_together(tmp_path):
    """A p of 0.03 holds by itself, and not beside two verdicts that nothing decides."""
    folders = []
    for name, number in (("x10", "C10"), ("x9", "C9"), ("x2", "C2")):
        runs = [
            run({"model.norm": norm, "optimizer.lr": 0.1}, seed, curve={1000: 0.5 + more})
            for seed in range(5)
            for norm, more in (("none", 0), ("batchnorm", gain(number, seed)))
        ]
        made = {**PRIMARY, "id": number, "statement": f"{number} holds."}
        folders.append(write(tmp_path / name, runs, claims=[made]))
    alone = [verify(folder, write=False).verdicts[0] for folder in folders]
    assert [one.alone for one in alone] == ["supported", "inconclusive", "inconclusive"]
    page = parse(Page(folders).html)
    rows = [[cell.text for cell in row.all("td")] for row in page.one(id="primary").one("tbody").all("tr")]
    names = [row.one("a").text for row in page.one(id="primary").one("tbody").all("tr")]
    assert names == ["C2", "C9", "C10"]
    together = corrected_together(alone)
    assert [row[1] for row in rows] == [one.in_book for one in reversed(together)] == ["inconclusive"] * 3
    assert [row[-1] for row in rows] == [f"{one.p_book:.2g}" for one in reversed(together)]
    heads = [node.text for node in page.all("h2")]
    assert heads[:3] == ["One verdict for each claim", "Contents", "All verdicts"]
    test_every_link_leads_somewhere_and_ids_are_used_once(page)


def gain(number, seed):
    """Return how much more accurate a seed is: clearly for C10, by nothing else."""
    return [0.004, 0.02, 0.03, 0.05, 0.06][seed] * (1 if number == "C10" else (-1) ** seed)


def test_several_experiments_are_a_book(tmp_path, folder):
    other = write(tmp_path / "swept", rate_runs({"model.norm": "none"}, 0, [0.1, 1], "TT"))
    broken = write(tmp_path / "broken", rate_runs({"model.norm": "none"}, 0, [0.1, 1], "TT"))
    (broken / "runs.csv").write_text("run_id,what\n1,2\n")
    made = Page([folder, other, broken], live=True)
    page = parse(made.html)
    links = [node.attributes["href"] for node in page.one(id="contents").all("a")]
    assert links == ["#swept", "#swept--2", "#broken"]
    assert len(page.one(id="verdicts").one("tbody").all("tr")) == 2
    assert len(made.problems) == 1
    assert str(broken / "runs.csv") in page.one("section", id="broken").text
    assert page.one("html").attributes["data-live"] == "5"
    test_every_link_leads_somewhere_and_ids_are_used_once(page)
