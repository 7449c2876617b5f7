"""The records of an experiment: CSV files that are appended to, merged, repaired and continued.

schema        the columns of the files, and the conversion between values and cells
files         atomic writes, and what the user is told when the disk refuses
index         where the rows of each run are in a file
parts         what the writer of one stack appends
summary       the cells of runs.csv that follow from other records
contents      merged files and parts together: the source of each run
looks         the looks of `run --decide` at its claims
gaps          rows that are missing between others: noticed by all who read records
merge         writes parts into the merged files, in the plan's order
sources       the code of plug-ins, kept with the results
orphans       runs that the config no longer has: refused, or kept aside
taking        runs of another folder, copied into a part
shards        the folders of shards, joined into that of their experiment
lock          one process at a time writes a folder
environment   versions, hardware, times
claim_notes   when each claim came into the config
folder        the whole, for the process that trains
frames        the whole as data frames: the only reader
status        the whole as counts, without pandas
time_left     the expected time of the runs without a result
config_file   config.yaml, read as data
"""

from __future__ import annotations

from normbench.records.folder import OpenStack, ResultsFolder
from normbench.records.frames import read_layers, read_metrics, read_runs
from normbench.records.lock import holder_of
from normbench.records.parts import StackWriter
from normbench.records.schema import format_cell, format_float, write_csv
from normbench.records.status import FolderStatus, experiments_in, folder_status

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
