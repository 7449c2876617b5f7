"""Records for other tools: one file for each target.

base         the records of an experiment, and what a target is
tensorboard  event files
mlflow       a tracking store
parquet      columnar files
tables       LaTeX and Markdown, for papers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from normbench.errors import RecordsError
from normbench.exports.base import Source
from normbench.exports.mlflow import MLflow
from normbench.exports.parquet import Parquet
from normbench.exports.tables import Latex, Markdown
from normbench.exports.tensorboard import TensorBoard
from normbench.records.files import explained
from normbench.registry import Registry

EXPORTS = Registry("export", TensorBoard, MLflow, Parquet, Latex, Markdown)
FOLDER = "exports"  # in the results folder, if no other place is named


def export(
    folders: Sequence[Path], to: str, place: Path, say: Callable[[str], None] = lambda _: None
) -> Iterator[Path]:
    """Write the records of experiments for another tool, and yield each file or folder when it is complete.

    Args:
        folders: of the experiments.
        to: the name of a target.
        place: the folder to write into.
        say: hears sentences about what is missing or damaged.

    Raises:
        NormbenchError: the target is unknown, its package is missing, or two experiments have one name.
        RecordsError: the records cannot be read, or the place cannot be written.
    """
    target = EXPORTS[to]()
    target.refuse_missing()
    sources = [Source(folder, say) for folder in folders]
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecordsError(f"two of the experiments are called '{twice[0]}'; export them one by one")
    with explained(place, "written"):
        place.mkdir(parents=True, exist_ok=True)
        yield from target.write(sources, place)
