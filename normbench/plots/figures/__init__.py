"""The figures. To add one: write its file here, add its class to the list below, write its section in
docs/figures.md.
"""

from normbench.plots.figures.against import Against
from normbench.plots.figures.best_vs_equal import BestVsEqual
from normbench.plots.figures.claims import Claims
from normbench.plots.figures.convergence import Convergence, ConvergenceAccuracy
from normbench.plots.figures.cost import Cost
from normbench.plots.figures.gap import Gap
from normbench.plots.figures.heatmap import Heatmap
from normbench.plots.figures.landscape import Landscape
from normbench.plots.figures.largest_rate import LargestRate
from normbench.plots.figures.layer_heatmap import LayerHeatmap
from normbench.plots.figures.layers import Layers
from normbench.plots.figures.montage import Montage
from normbench.plots.figures.percentiles import Percentiles
from normbench.plots.figures.rate import Rate
from normbench.plots.figures.ridge import Ridge
from normbench.plots.figures.sharpness import Sharpness
from normbench.plots.figures.stable_rate import StableRate
from normbench.plots.figures.steps_to_target import StepsToTarget
from normbench.plots.figures.summary import Summary
from normbench.plots.figures.v_norm import VNorm
from normbench.registry import Registry

FIGURES = Registry(
    "figure",  # in the order in which they are drawn
    Summary,
    Convergence,
    ConvergenceAccuracy,
    Rate,
    LargestRate,
    StepsToTarget,
    Heatmap,
    BestVsEqual,
    Gap,
    Claims,
    Montage,
    Percentiles,
    Landscape,
    Sharpness,
    StableRate,
    VNorm,
    LayerHeatmap,
    Layers,
    Ridge,
    Against,
    Cost,
)
