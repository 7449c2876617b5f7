"""Writes docs/pairs.md: which normalization works with which architecture, and the reasons if not.

    python benchmarks/pairs.py            # write the page; a test checks that it is up to date

The page shows whether `normbench plan` accepts each pair with default options, for images of 3x32x32 in
batches of 60. Tests train the accepted pairs on the embedded digits, in stacks and against plain torch, and
require the training loss to fall by 30 %. The test suite trains some of them (tests/engine), `make pairs`
all.
"""

from __future__ import annotations

from pathlib import Path

from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.planning.net_cost import refusal

PAGE = Path(__file__).parents[1] / "docs" / "pairs.md"
SHAPE, BATCH = (3, 32, 32), 60

HEAD = """# Which normalization works with which architecture

`python benchmarks/pairs.py` generates this page. It shows whether `normbench plan` accepts each pair with
default options, for images of {shape} in batches of {batch}. A refused pair is refused before training, with
the reason. Tests train the accepted pairs on the embedded digits: the test suite some of them, `make pairs`
all.

"""


def reason(model: str, norm: str) -> str | None:
    """Return why `plan` refuses this pair, or None."""
    made = MODELS[model].model_validate({"name": model, "norm": {"name": norm}}).resolve()
    return refusal(made, SHAPE, 10, BATCH)


def page() -> str:
    """Return the text of the page."""
    notes: dict[str, int] = {}
    lines = [f"| | {' | '.join(f'`{model}`' for model in MODELS)} |", "|---|" + "---|" * len(MODELS)]
    for norm in NORMS:
        cells = []
        for model in MODELS:
            why = reason(model, norm)
            if why is None:
                cells.append("trains")
            else:
                cells.append(f"refused ({notes.setdefault(why, len(notes) + 1)})")
        lines.append(f"| `{norm}` | {' | '.join(cells)} |")
    reasons = [f"{number}. {why}" for why, number in notes.items()]
    head = HEAD.format(shape="x".join(map(str, SHAPE)), batch=BATCH)
    return head + "\n".join([*lines, "", "Refused because:", "", *reasons]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
