"""The pages about claims and README's table show the verdicts of a small made-up book."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from helpers.results import run, write

ROOT = Path(__file__).parents[2]
README = "# X\n\n<!-- claims: begin -->\nold\n<!-- claims: end -->\n\nmore\n"
CLAIM = """\
# yaml-language-server: $schema=x
#
#   normbench run configs/claims/{name}.yaml
#
# {id}: what is said
# in two lines.
# Time: short.
name: {name}
title: A | B?
seeds: [1, 2, 3]
data: {{name: digits, batch_size: 20}}
model: {{name: mlp, depth: 1, width: 8}}
optimizer: {{name: sgd}}
train: {{steps: 20, eval_every: 10}}
sweep: {{model.norm: [none, batchnorm], optimizer.lr: [0.1, 1]}}
claims:
  - id: {id}-other
    statement: No.
    measure: final_accuracy
    of: {{model.norm: batchnorm}}
    against: {{model.norm: none}}
    expect: {{difference_at_least: 0.9}}
  - id: {id}
    statement: Yes.
    source: Somebody
    reports: something
    family: primary
    primary: {primary}
    measure: final_accuracy
    of: {{model.norm: batchnorm}}
    against: {{model.norm: none}}
    expect: {{difference_at_least: 0.05}}
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return the script at work in a small clone without results."""
    spec = importlib.util.spec_from_file_location("claim_pages", ROOT / "docs" / "claim_pages.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "claim_pages", module)
    monkeypatch.syspath_prepend(ROOT / "docs")  # as `python docs/claim_pages.py` has it
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    for folder in ("configs/claims", "docs/claims", "results/claims"):
        Path(folder).mkdir(parents=True)
    Path("README.md").write_text(README, encoding="utf-8")
    Path("docs/which.md.j2").write_text("# Which\n", encoding="utf-8")
    return module


def add(name, claim, primary, good=0.9):
    """Add an experiment with made-up runs to the small clone."""
    text = CLAIM.format(name=name, id=claim, primary=str(primary).lower())
    Path("configs/claims", f"{name}.yaml").write_text(text, encoding="utf-8")
    values = {"none": 0.5, "batchnorm": good}
    made = [
        run(
            {"model.norm": norm, "optimizer.lr": rate},
            seed,
            final_test_accuracy=value - rate / 10 + seed * value / 100,
        )
        for norm, value in values.items()
        for rate in (0.1, 1)
        for seed in (1, 2, 3)
    ]
    folder = Path("results/claims", name)
    write(folder, made, seeds=[1, 2, 3], steps=20)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def main(script, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["claim_pages.py", *words])
    script.main()


def read(path):
    return Path(path).read_text(encoding="utf-8")


def test_without_a_primary_verdict_the_readme_says_so(script, monkeypatch):
    add("c02_x", "C2", primary=False)
    main(script, monkeypatch)
    assert "begin -->\nNo primary verdict is in the book yet.\n<!-- claims: end" in read("README.md")
    assert read("README.md").startswith("# X\n\n<!--")
    assert read("README.md").endswith("end -->\n\nmore\n")
    assert "| [C2](C02.md) † | No. | **refuted** |" in read("docs/claims/README.md")


def test_primary_verdicts_are_shown_first_and_as_the_book_has_them(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    add("c04_x", "C4", primary=True, good=0.56)  # holds alone, and in the book with the others
    add("c12_x", "C12", primary=True, good=0.5)  # no difference
    main(script, monkeypatch)
    rows = [line for line in read("docs/claims/README.md").splitlines() if line.startswith("| [C")]
    assert [row.split("]")[0] for row in rows] == ["| [C2", "| [C4", "| [C12"]
    table = read("README.md").split("-->")[1]
    assert "| [Yes.](docs/claims/C02.md) | **supported** | 0.408 (" in table
    assert "C04.md" in table
    assert "C12.md" not in table  # it is not in the short list
    judged = {one.name: one.verdicts[0] for one in script.book()}
    page = read("docs/claims/C02.md")
    assert page.startswith("# C2: Yes.\n\nVerdict: **supported**, 0.408 (")
    first, second = [line for line in page.splitlines() if line.startswith(("| **primary:** Yes.", "| No."))]
    assert first.startswith("| **primary:** Yes. | **supported** |")
    assert f"| {judged['c02_x'].p_book:.2g} |" in first
    assert "| **refuted** |" in second
    for text in (
        "## A \\| B?",
        "C2: what is said in two lines.\n\nTime: short.\n",
        "| source | Somebody |",
        "| it reports | something |",
        "| model | mlp, depth 1, width 8 |",
        "| varied: `model.norm` | none, batchnorm |",
        "| seeds | 3: 1 to 3 |",
        "normbench run configs/claims/c02_x.yaml --results my_results\n",
    ):
        assert text in page, text
    assert "yaml-language-server" not in page
    assert "claims.png" not in page
    plots = Path("results/claims/c02_x/plots")
    plots.mkdir()
    (plots / "claims.png").write_bytes(b"x")
    main(script, monkeypatch)
    assert "(../../results/claims/c02_x/plots/claims.png)" in read("docs/claims/C02.md")


def test_a_verdict_that_the_book_does_not_hold_is_open_with_both_p_values(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    monkeypatch.setattr("normbench.analysis.verify.benjamini_hochberg", lambda ps: [0.2 for _ in ps])
    main(script, monkeypatch)
    page = read("docs/claims/C02.md")
    assert "Verdict: inconclusive, 0.408" in page
    assert "Yes. Open: supported in its file, but inconclusive with the correction of the book (p = " in page
    assert "and 0.2)" in page


def test_an_open_verdict_says_how_many_seeds_decide_it(script, monkeypatch):
    add("c02_x", "C2", primary=True, good=0.55)
    main(script, monkeypatch)
    (reason,) = [line for line in read("docs/claims/C02.md").splitlines() if line.startswith("- Yes. Open:")]
    (verdict,) = [one for one in script.book()[0].verdicts if one.claim.primary]
    chances = {n: verdict.comparison.chance(n, 0.05) for n in (12, 20, 30)}
    assert chances[12] >= 0.8
    assert reason.endswith(f"n = 12 decides it by itself (chance {chances[12]:.2g})")
    monkeypatch.setattr(script, "MORE_SEEDS", (3, 4))
    monkeypatch.setattr(type(verdict.comparison), "chance", lambda *_: 0.1)
    main(script, monkeypatch)
    assert "If further seeds are like these, n = 4 does not decide it\n" in read("docs/claims/C02.md")


def test_a_best_rate_at_the_edge_of_the_grid_is_told(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    main(script, monkeypatch)
    text = "- Yes. Better rates may lie beyond the grid: the best rate is at the grid's edge (of: batchnorm"
    assert text in read("docs/claims/C02.md")


def test_what_is_stale_or_left_over_is_named(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    with pytest.raises(
        SystemExit, match=r"C02\.md, docs/claims/README\.md, README\.md, docs/norms/.*, docs/which\.md: stale"
    ):
        main(script, monkeypatch, "--check")
    main(script, monkeypatch)
    main(script, monkeypatch, "--check")
    Path("docs/claims/C31.md").write_text("old", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^docs/claims/C31\.md: stale; run: make pages"):
        main(script, monkeypatch, "--check")
    main(script, monkeypatch)
    assert not Path("docs/claims/C31.md").exists()
    Path("README.md").write_text("# X\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"README\.md: the lines <!-- claims: begin --> and"):
        main(script, monkeypatch)


def test_results_without_a_config_are_refused(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    Path("configs/claims/c02_x.yaml").unlink()
    with pytest.raises(SystemExit, match=r"there is no configs/claims/c02_x\.yaml for"):
        main(script, monkeypatch)


def which(text):
    Path("docs/which.md.j2").write_text(text, encoding="utf-8")


def test_the_page_which_shows_verdicts_and_links_to_their_claims(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    add("c12_x", "C12", primary=True, good=0.5)  # no difference
    which('{{ supported("C2") }}, {{ refuted("C2-other") }}\n{# if not #}\n{{ open_questions() }}')
    main(script, monkeypatch)
    first, still_open = read("docs/which.md").splitlines()
    low, high = r"\(\+[\d.]+ to \+[\d.]+, n = 3; ", r"\]\(claims/C02\.md\)\)"
    told = rf"\+40\.8 points {low}\[supported{high}, \+40\.8 points {low}\[refuted{high}"
    assert re.fullmatch(told, first)
    assert still_open.startswith("- [C12](claims/C12.md): Yes. Open: all 3 seeds agree, but so few")
    main(script, monkeypatch, "--check")
    Path("docs/which.md").write_text("by hand", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^docs/which\.md: stale; run: make pages"):
        main(script, monkeypatch, "--check")


def test_a_sentence_that_its_verdict_left_takes_the_page_away_and_no_other(script, monkeypatch):
    add("c02_x", "C2", primary=True)
    which('{{ supported("C2") }}')
    main(script, monkeypatch)
    add("c02_x", "C2", primary=True, good=0.5)
    for words in (["--check"], []):
        with pytest.raises(SystemExit, match=r"docs/which\.md\.j2, line 1: .* C2 is supported, but it is "):
            main(script, monkeypatch, *words)
    assert not Path("docs/which.md").exists()
    assert "Verdict: **supported**" not in read("docs/claims/C02.md")


def test_the_page_waits_for_the_results_of_its_claims(script, monkeypatch, capsys):
    add("c02_x", "C2", primary=True)
    add("c04_x", "C4", primary=True)
    shutil.rmtree("results/claims/c04_x")
    which('{{ supported("C2") }}{{ v("C4") }}')
    Path("docs/which.md").write_text("older", encoding="utf-8")
    main(script, monkeypatch)
    assert capsys.readouterr().err == (
        "docs/which.md: not written, because claims that it names have no result yet: C4\n"
    )
    assert not Path("docs/which.md").exists()
    main(script, monkeypatch, "--check")
