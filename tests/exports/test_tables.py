"""Tables for papers: Markdown's own parser reads the cells back, LaTeX has no bare special character."""

import itertools
import re

import pytest
from helpers.cli import call, good
from helpers.results import claim, run, write
from markdown_it import MarkdownIt

from normbench.analysis.text_table import TextTable
from normbench.exports.tables import Latex, Markdown
from normbench.markup import latex

ODD = ["a|b", "*x* _y_", "5 < 6 & 7 &amp; 8", r"C:\new", "100 % $x$ #1 {2} ~3 ^4", "[1](2)", "*", '`c` "d"']
TABLE = TextTable("verdicts", "A_b & 50 %", ["one", "two"], [[text, "1 [0, 2]"] for text in ODD], "", 1)


def parsed(text):
    """Return heads and rows of the table in a Markdown text."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    cells, rows = [], []
    for token, inline in itertools.pairwise(tokens):
        if token.type in ("th_open", "td_open"):
            assert all(child.type in ("text", "text_special") for child in inline.children), inline.content
            cells.append("".join(child.content for child in inline.children))
        elif inline.type == "tr_close":
            rows.append(cells)
            cells = []
    return rows


def test_markdown_reads_each_cell_back():
    heads, *rows = parsed(Markdown().text(TABLE, "x"))
    assert heads == TABLE.heads
    assert rows == TABLE.rows


def unescaped(text):
    """Return a text as LaTeX shows it, by another way: macros first, then single characters."""
    for macro, char in (
        *(("textbackslash", "\0"), ("textasciitilde", "~"), ("textasciicircum", "^")),
        *(("textless", "<"), ("textgreater", ">"), ("textbar", "|"), ("textquotedbl", '"')),
    ):
        text = text.replace(f"\\{macro}{{}}", char)
    text = re.sub(r"^\{(.)\}", r"\1", text)
    return re.sub(r"\\([{}$&#_%])", r"\1", text).replace("\0", "\\")


def test_latex_escapes_what_it_would_read():
    for text in ODD:
        assert not re.search(r"(?<!\\)[$&#_%~^]", latex(text))
        assert unescaped(latex(text)) == text
    body = Latex().text(TABLE, "my_x").splitlines()
    assert "  \\label{tab:my-x-verdicts}" in body
    assert "  \\begin{tabular}{lr}" in body
    assert "  \\caption{A\\_b \\& 50 \\%}" in body
    rows = [line for line in body if line.endswith(" \\\\")]
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in rows)
    assert "    {*} & 1 [0, 2] \\\\" in rows  # `\\*` and `\\[` are commands
    assert len(rows) == 1 + len(ODD)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    runs = [
        run({"model.norm": norm}, seed, curve={1000: value + seed * more})
        for norm, value, more in (("none", 0.8, 0.001), ("batchnorm", 0.9, 0.002))
        for seed in range(3)
    ]
    claims = [claim("final_accuracy", expect={"difference_at_least": 0.05})]
    return write(tmp_path_factory.mktemp("tables") / "judged", runs, claims)


def test_an_export_has_verdicts_and_summary(judged, tmp_path):
    for to, ending in (("latex", "tex"), ("markdown", "md")):
        done = good("export", judged, "--to", to, "--output", tmp_path)
        paths = [tmp_path / "judged" / f"{stem}.{ending}" for stem in ("verdicts", "summary")]
        assert done.stdout.split() == list(map(str, paths))
    heads, row = parsed((tmp_path / "judged" / "verdicts.md").read_text(encoding="utf-8"))
    assert dict(zip(heads, row, strict=True)) == {
        "claim": "C",
        "statement": "It is so.",
        "verdict": "supported",
        "estimate": "0.101 [0.0985, 0.103]",
        "n": "3",
    }
    heads, *rows = parsed((tmp_path / "judged" / "summary.md").read_text(encoding="utf-8"))
    assert [row[0] for row in rows] == ["none", "batchnorm"]
    assert rows[1][heads.index("best test accuracy")].startswith("0.902 ")


def test_an_unknown_target_is_refused_with_the_near_one(judged):
    done = call("export", judged, "--to", "mlfow")
    assert done.exit_code == 2
    assert "did you mean 'mlflow'? one of: tensorboard, mlflow, parquet, latex, markdown" in done.stderr
