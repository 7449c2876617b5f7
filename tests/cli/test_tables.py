"""Tables are printed column by column where that is the same; rich draws the reference row by row."""

import random

from rich import box
from rich.table import Table
from rich.text import Text

from normbench.cli.output import print_rich, print_table, scalar

CELLS = ["", "a", "bb bb", " before", "after  ", "汉字", "many words that may be wrapped", "x" * 30, "tab\tx"]
CELLS += ["[red]m", "12,345", None, 3, 0.5, "two\nlines", "é", "  ", True]


def by_rows(title, heads, rows, right, most, tight):
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=tight
    )
    for place, head in enumerate(heads):
        number = place >= len(heads) - right
        table.add_column(Text(head), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(scalar(value)) for value in row))
    print_rich(table, most)


def test_a_table_is_the_same_by_columns_and_by_rows(capsys):
    drawn = random.Random(0)
    for number in range(150):
        cells = [cell for cell in CELLS if number % 3 == 0 or str(cell).isprintable()]
        count = drawn.randint(1, 5)
        rows = [[drawn.choice(cells) for _ in range(count)] for _ in range(drawn.randint(0, 6))]
        heads = [drawn.choice(["", "head", "three short words", "x" * 20]) for _ in range(count)]
        table = ("a title of some words", heads, rows)
        look = (drawn.randint(0, count), drawn.choice([20, 40, 80, 160]), drawn.random() < 0.5)
        print_table(*table, *look)
        printed = capsys.readouterr().out
        by_rows(*table, *look)
        assert printed == capsys.readouterr().out
