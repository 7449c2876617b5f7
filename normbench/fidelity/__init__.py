"""Holds every plug-in of a plan against plain eager torch before anything is trained.

A few steps of two runs in an ordinary torch loop (no mapping over runs, no trace) are compared with the same
steps of the engine, in float64: losses, parameters, buffers. The plan then has an executor that trains the
plug-in right, or is refused with a sentence that names file and line.
"""

from normbench.fidelity.check import check_plugins

__all__ = ["check_plugins"]
