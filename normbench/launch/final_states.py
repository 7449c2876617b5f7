"""The states after the last step, which a longer training goes on from: `states/<stack>.pt`."""

from __future__ import annotations

from pathlib import Path

from normbench.engine.checkpoint import seal
from normbench.planning.runs import Stack
from normbench.records import ResultsFolder
from normbench.records.files import own_folder, write_file

FOLDER = "states"


class FinalStates:
    """The states that a results folder, which is open, keeps."""

    def __init__(self, folder: ResultsFolder) -> None:
        self.folder, self.root = folder, folder.root / FOLDER

    def save(self, stack: Stack, state: bytes) -> None:
        """Write the state of a stack (`engine.checkpoint.dump_state`)."""
        self.folder.check()
        own_folder(self.root)
        write_file(self.root / f"{stack.stack_id}.pt", seal(state, {}))


def states_in(root: Path) -> list[Path]:
    """Return the files of the states that a results folder keeps, the latest one last."""
    folder = root / FOLDER
    if not folder.is_dir():
        return []
    return sorted(folder.glob("*.pt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
