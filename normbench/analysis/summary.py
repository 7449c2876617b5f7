"""The table at the end of a run: results of each variant with intervals, also as plain rows."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

from normbench.analysis.tables import Tables, setting
from normbench.analysis.variants import (
    best_rates,
    crashes,
    edges,
    label,
    levels,
    number,
    refining,
    score,
    short_key,
)
from normbench.names import FAILED, OUTCOMES, RATE, VARIANT
from normbench.stats.intervals import t_interval, wilson
from normbench.stats.outcome import edge_interval

if TYPE_CHECKING:
    from rich.table import Table


def summary_rows(tables: Tables) -> list[dict[str, Any]]:
    """Return one row for each variant (all swept keys but the rate) for JSON; None for unknown numbers.

    `largest_rate` is the geometric mean over seeds of the middle between the largest rate that trains and the
    next one. Its interval includes the distance of the two; infinity is the word "inf". Shares are over all
    rates and seeds, without rates that only refine an edge. `crashes` is empty or `crashed 2 of 10`: such
    a run counts as one that does not train, and means are those of the others.
    """
    keys = tuple(k for k in tables.varied if k != RATE)
    groups = levels(tables.runs, keys)
    ended = tables.runs["outcome"].notna().to_numpy()
    values, name = score(tables.runs)
    best = best_rates(tables.runs, keys).set_index("group")
    has_rates = RATE in tables.runs.columns and tables.runs[RATE].nunique() > 1
    found = edges(tables.runs, keys) if has_rates else {}
    rows = []
    for code, combination in enumerate(groups.values):
        mine = groups.codes == code
        runs = tables.runs[mine & ended & ~refining(tables.runs)]
        row: dict[str, Any] = {
            "variant": label(keys, combination) if keys else _only_variant(tables),
            **dict(zip(keys, combination, strict=True)),
        }
        row["seeds"] = int(runs["seed"].nunique())
        row["runs"] = len(runs)
        row["pending"] = int((mine & ~ended).sum())
        row["crashes"] = crashes(runs)
        if has_rates:
            edge = edge_interval(list(found.get(code, {}).values()))
            row["largest_rate"] = {
                **_interval(edge.estimate, edge.low, edge.high, edge.n),
                "seeds_that_train_at_no_rate": edge.left_out,
            }
        if code in best.index and not runs["outcome"].isin(FAILED).all():
            rate = float(best["rate"][code])
            at_best = runs[runs[RATE] == rate] if has_rates else runs
            good = values.loc[at_best.index[at_best["outcome"] != "crashed"]]
            got = t_interval(good[good.abs() < math.inf].to_numpy())
            row["best"] = {
                "measure": name,
                **_interval(got.estimate, got.low, got.high, got.n),
                "rate": _plain(rate),
                "grid_edge": str(best["edge"][code]),
                "crashes": crashes(at_best),
            }
        for outcome in (*OUTCOMES, "crashed"):
            share = wilson(int((runs["outcome"] == outcome).sum()), len(runs))
            row[outcome] = _interval(share.estimate, share.low, share.high, share.n)
        rows.append(row)
    return rows


def lost_at_once(tables: Tables) -> list[str]:
    """Return a sentence for each variant (all swept keys but the rate) whose runs all diverged at step 1."""
    keys = tuple(k for k in tables.varied if k != RATE)
    groups, found = levels(tables.runs, keys), []
    for code, combination in enumerate(groups.values):
        runs = tables.runs[groups.codes == code]
        runs = runs[runs["outcome"].notna()]
        if len(runs) and bool((runs["diverged_at_step"] == 1).all()):
            name = label(keys, combination, named=True) if keys else f"norm {setting(tables.config, VARIANT)}"
            found.append(
                f"{name}: the loss is not finite on the first batch, before any update, in all {len(runs):,} "
                "runs; the layer itself returns values that are not finite, so the rate is not at fault"
            )
    return found


def summary_table(tables: Tables, width: int | None = None) -> Table:
    """Return the rows as a table for a terminal of `width` columns (default: this terminal's, at least 80).

    If one line for each variant is too wide, intervals move to a second line; if that is still too wide, the
    shares are below each other.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = summary_rows(tables)
    measure = next((row["best"]["measure"] for row in rows if "best" in row), "score")
    has_rates = any("largest_rate" in row for row in rows)
    room = max(80, width or shutil.get_terminal_size().columns)
    layouts = [_layout(tables, rows, measure, has_rates, kind) for kind in ("wide", "two lines", "narrow")]
    heads, names = next((found for found in layouts if _wide(*found) <= room), layouts[-1])
    keys = 1 if heads is layouts[-1][0] else len(_names(tables, rows)[0])
    table = Table(title=Text(_title(tables, rows)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption = Text(_caption(tables, rows, measure, has_rates))
    table.caption_justify = "left"
    for i, head in enumerate(heads):
        if i < keys:  # the names of the variants; long names fold
            table.add_column(Text(head), overflow="fold", min_width=8)
        else:
            longest = _longest(head, [name[i] for name in names])
            table.add_column(Text(head), justify="right", no_wrap=True, min_width=longest)
    for name in names:
        table.add_row(*map(Text, name))
    return table


def summary_text(
    tables: Tables,
) -> tuple[str, list[str], list[tuple[list[str], list[str]]], str]:
    """Return the rows as text: title, heads, the names and cells of each row, and what the columns mean."""
    rows = summary_rows(tables)
    measure = next((row["best"]["measure"] for row in rows if "best" in row), "score")
    has_rates = any("largest_rate" in row for row in rows)
    heads, lines = _layout(tables, rows, measure, has_rates, "wide")
    names = len(_names(tables, rows)[0])
    texts = [(line[:names], line[names:]) for line in lines]
    caption = _caption(tables, rows, measure, has_rates)
    return _title(tables, rows), [" ".join(head.split("\n")) for head in heads], texts, caption


def _only_variant(tables: Tables) -> str:
    """Return the name of the only variant: the normalization that the config sets."""
    norm = tables.config.get("model", {}).get("norm", "none")
    return str(norm.get("name", "none") if isinstance(norm, dict) else norm)


def _names(tables: Tables, rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the heads of the columns that name a variant, and the names."""
    keys = tuple(k for k in tables.varied if k != RATE)
    if not keys:
        return ["variant"], [[row["variant"]] for row in rows]
    return [short_key(k) for k in keys], [[number(row[k]) for k in keys] for row in rows]


def _layout(
    tables: Tables, rows: list[dict[str, Any]], measure: str, has_rates: bool, kind: str
) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of one layout of the table."""
    heads, names = _names(tables, rows)
    outcomes = _outcomes(rows)
    cells = [_cells(row, has_rates, outcomes) for row in rows]
    score_head = f"best {measure.replace('final ', '')}"
    titles = ["largest rate\nthat trains", score_head.replace(" accuracy", "\naccuracy, at rate")]
    titles = titles if has_rates else [score_head]
    if kind == "narrow":
        several = len(heads) > 1
        heads, names = [", ".join(heads)], [[row["variant"]] for row in rows] if several else names
        first = len(titles)
        shares = [
            "\n".join(f"{word} {' '.join(cell)}" for word, cell in zip(outcomes, line[first:], strict=True))
            for line in cells
        ]
        texts = [
            [*("\n".join(cell) for cell in line[:first]), share]
            for line, share in zip(cells, shares, strict=True)
        ]
        titles = [*titles, "share of the runs\n%"]
    else:
        separator = " " if kind == "wide" else "\n"
        texts = [[separator.join(cell).rstrip() for cell in line] for line in cells]
        titles = [*titles, *(f"{word}\n%" for word in outcomes)]
    return [*heads, *titles], [[*name, *text] for name, text in zip(names, texts, strict=True)]


def _longest(title: str, texts: list[str]) -> int:
    return max(len(line) for text in [title, *texts] for line in text.split("\n"))


def _wide(titles: list[str], rows: list[list[str]]) -> int:
    """Return the width of a table in characters. The first column may fold to 20."""
    wide = [_longest(title, [row[i] for row in rows]) for i, title in enumerate(titles)]
    return min(wide[0], 20) + sum(wide[1:]) + 3 * len(wide)


def _outcomes(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the outcomes that have a column: `crashed` only if a run did."""
    return (*OUTCOMES, "crashed") if any(row["crashes"] for row in rows) else OUTCOMES


def _cells(row: dict[str, Any], has_rates: bool, outcomes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return estimate and interval for each column after the variant's names."""
    cells = [_rate(row.get("largest_rate"), row["crashes"])] if has_rates else []
    return [*cells, _score(row.get("best"), row["crashes"]), *(_share(row[word]) for word in outcomes)]


def _title(tables: Tables, rows: list[dict[str, Any]]) -> str:
    seeds = sorted({row["seeds"] for row in rows})
    runs = sorted({row["runs"] for row in rows})
    n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    of = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    return f"{tables.title}: n = {n} seed{'' if n == '1' else 's'}; shares of {of} runs for each variant"


def _caption(tables: Tables, rows: list[dict[str, Any]], measure: str, has_rates: bool) -> str:
    text = (
        "Brackets: 95 % intervals (Student-t over seeds; shares: Wilson over runs). Trains: mean of the "
        f"last tenth of the training losses <= {number(tables.trains_below)} x label entropy "
        f"within {tables.steps}."
    )
    if has_rates:
        text += f" Best: rate with the best mean {measure}. The largest rate's interval counts the grid."
    if any(row.get("best", {}).get("grid_edge") for row in rows):
        text += " !: at the grid's edge, better rates may lie beyond."
    if any(row.get("largest_rate", {}).get("seeds_that_train_at_no_rate") for row in rows):
        text += " Seeds that train at no rate are left out of the largest rate."
    if any(row["crashes"] for row in rows):
        text += " A rate whose run crashed counts as one that does not train; scores are those of the others."
    pending = sum(row["pending"] for row in rows)
    return text + (f" {pending} runs have no outcome (yet)." if pending else "")


def _interval(estimate: float, low: float, high: float, n: int) -> dict[str, Any]:
    return {"estimate": _plain(estimate), "low": _plain(low), "high": _plain(high), "n": n}


def _plain(value: float) -> float | str | None:
    """Return a number that JSON can hold: None for NaN, a word for infinity."""
    value = float(value)
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _two(value: Any) -> str:
    return value if isinstance(value, str) else number(float(f"{value:.2g}"))


def _rate(rate: dict[str, Any] | None, crashes: str) -> tuple[str, str]:
    if rate is None:
        return "-", ""
    left = rate["seeds_that_train_at_no_rate"]
    notes = [f"{left} none"] if left and rate["n"] else []
    note = f" ({', '.join([*notes, *filter(None, [crashes])])})" if notes or crashes else ""
    if not rate["n"]:
        return ("at no rate" if left else "-") + note, ""
    if rate["low"] is None or rate["high"] is None:
        return _two(rate["estimate"]) + note, ""
    text = "beyond grid" if rate["estimate"] == "inf" else _two(rate["estimate"])
    return text + note, f"[{_two(rate['low'])}, {_two(rate['high'])}]"


def _score(best: dict[str, Any] | None, crashes: str) -> tuple[str, str]:
    crashes = crashes if best is None else best["crashes"]
    note = f" ({crashes})" if crashes else ""
    if best is None or best["estimate"] is None:
        return f"-{note}", ""
    text, low, high = f"{best['estimate']:.3f}", best["low"], best["high"]
    if best["rate"] is not None:
        text += f" at {number(best['rate'])}{'!' if best['grid_edge'] else ''}"
    text += note
    if low is None:
        return text, ""
    if "accuracy" in best["measure"]:
        low, high = max(0.0, low), min(1.0, high)
    return text, f"[{low:.3f}, {high:.3f}]"


def _share(share: dict[str, Any]) -> tuple[str, str]:
    if share["estimate"] is None:
        return "-", ""
    percent = [f"{100 * share[end]:.0f}" for end in ("estimate", "low", "high")]
    return percent[0], f"[{percent[1]}, {percent[2]}]"
