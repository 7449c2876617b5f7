"""The records of an experiment: CSV that is appended, merged, healed and gone on with.

schema        the files' columns, and a value's way into a cell and back
files         writing aside, renaming, and what the user is told when the disk does not play along
index         where each run's rows are in a file
parts         what the writer of one stack appends
contents      merged files and parts together: who speaks for a run
merge         parts into merged files, in the plan's order
orphans       runs that the config no longer has: refused, or kept aside
lock          one process at a time
environment   versions, hardware, times
folder        all of it, for the process that trains
frames        all of it, for readers
time_left     what the runs without a result will take
config_file   the config.yaml, read as data
"""

from __future__ import annotations

from normbench.records.folder import OpenStack, ResultsFolder
from normbench.records.frames import (
    FolderStatus,
    experiments_in,
    folder_status,
    read_layers,
    read_metrics,
    read_runs,
)
from normbench.records.lock import holder_of
from normbench.records.parts import StackWriter
from normbench.records.schema import format_cell, format_float, write_csv

__all__ = [
    "FolderStatus",
    "OpenStack",
    "ResultsFolder",
    "StackWriter",
    "experiments_in",
    "folder_status",
    "format_cell",
    "format_float",
    "holder_of",
    "read_layers",
    "read_metrics",
    "read_runs",
    "write_csv",
]
