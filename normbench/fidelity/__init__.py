"""Holds every plug-in of a plan against plain eager torch before anything is trained.

A few steps of two runs in an ordinary torch loop (no mapping over runs, no trace) are compared with the same
steps of the engine, in float64: losses, parameters, buffers. The plan then has an executor that trains the
plug-in right, or is refused with a sentence that names file and line.

made        the net as its plug-ins make it: parts that a stack cannot hold
passes      single passes: what they return, draw, write and make
rule        one update of an optimizer, alone and beside another run
alone       a whole training in plain torch: what it carries from one step to the next
reference   the plain torch loop
case        the two runs, on random images
check       compares them with the engine, and chooses the executor
equal       cells that train the same net
kept        verdicts of earlier checks
watch       what is seen of values, calls and passes
places      which file and line
fault       the sentences
"""

from normbench.fidelity.check import check_plugins

__all__ = ["check_plugins"]
