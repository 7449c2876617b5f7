"""Does what docs/tour.md says, in a temporary folder, and keeps the figures that the page shows.

python docs/tour_figures.py
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from PIL import Image

from normbench.cli import main as normbench

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tour.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
SHOWN = re.compile(r"!\[[^]]*\]\((tour/[^)]+)\)")


def main() -> None:
    """Follow the page, and copy the figures that it shows."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        follow(PAGE.read_text(encoding="utf-8"), call_and_keep)


def call_and_keep(words: list[str]) -> None:
    """Give a command; of one that draws, keep the figures that the page shows."""
    call(words)
    drawn = [name for option, name in pairwise(words) if option == "--figure"]
    for path in figures():
        if Path(path).stem in drawn:
            with Image.open(
                Path("results/tour/plots", Path(path).name)
            ) as image:  # 64 colors take half the bytes
                image.convert("RGB").quantize(64).save(ROOT / "docs" / path, optimize=True)


def figures() -> list[str]:
    """Return the figures that the page shows, from docs/."""
    return SHOWN.findall(PAGE.read_text(encoding="utf-8"))


def follow(text: str, command: Callable[[list[str]], None]) -> None:
    """Write the files of a page into this folder and give its commands, in their order.

    A block of YAML or Python is a file whose first line is a comment with its name. A block of `sh` has
    commands; one of `console` has what a reader types and no test can, such as the installation.
    """
    for kind, block in BLOCK.findall(text):
        if kind in ("yaml", "python"):
            name, _, content = block.partition("\n")
            Path(name.removeprefix("# ")).write_text(content, encoding="utf-8")
        elif kind == "sh":
            for words in commands(block):
                command(words)


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each `normbench` command of a block; another program is an error."""
    for line in block.splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        if program not in ("", "normbench"):
            raise ValueError(f"{PAGE}: found the command {program}; allowed: normbench")
        if program:
            yield words


def call(words: list[str]) -> None:
    """Give a command in this process; its failure ends this script."""
    sys.argv = ["normbench", *words]
    try:
        normbench()
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    main()
