"""A user's own normalizations, models, optimizers, data sets and so on, beside the built-in ones.

They come from files and folders that are named on the command line (`--plugin my_norm.py`) or in
`api.run(plugins=...)`, from installed packages with an entry point in the group `normbench.plugins`, and from
the sources that a results folder keeps. A config never loads code.

syntax      the hash of a file's syntax tree
sources     the files of a plug-in: what it imports from beside it, or its whole package
importing   how Python finds these files, and when it must not
loader      loads them, and knows who registered what
typed       the text of a class that a notebook or a script has made
texts       the lines that register such a class, a function that makes a model, or a data set
own         these as plug-ins
in_config   these in a config, in place of their names
"""

from __future__ import annotations

from normbench.plugins.in_config import named
from normbench.plugins.loader import (
    MOVED,
    blame,
    is_built_in,
    load_again,
    load_kept,
    load_plugins,
    loaded,
    unchanged,
    used_by,
)
from normbench.plugins.own import load_own, name_of
from normbench.plugins.sources import Plugin, Source

__all__ = [
    "MOVED",
    "Plugin",
    "Source",
    "blame",
    "is_built_in",
    "load_again",
    "load_kept",
    "load_own",
    "load_plugins",
    "loaded",
    "name_of",
    "named",
    "unchanged",
    "used_by",
]
