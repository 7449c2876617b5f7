"""Batch normalization over the steps of a sequence (Cooijmans et al. 2017, arXiv:1603.09025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.nn import functional
from normbench.norms.sequence import Seen, SequenceLayer

if TYPE_CHECKING:
    from normbench.norms.batchnorm import BatchNorm


class SequenceBatchNorm(SequenceLayer):
    """y_t = gamma (x_t - mean_t) / sqrt(var_t + eps) + beta, with the batch statistics of each step t.

    All steps share gamma and beta, both (F,). Inference uses running averages of each step's statistics;
    steps beyond a training sequence use those of its last step. With one row, all steps share one average.
    With `precise_bn_batches`, the averages of each step are means over training batches at the present
    weights. With `inference: batch`, inference uses the statistics that the evaluated batch has at each step.

    Args:
        features: number of features F.
        rows: sets of running statistics: the steps of a training sequence, or 1 for a shared set.
        options: of the batch normalization; with `affine`, gamma (initially 1) is learned.
        offset: whether `affine` learns beta (initially 0), too.

    Attributes:
        precise_bn_batches: as in `Affine`.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    momentum: float | Tensor

    def __init__(self, features: int, rows: int, options: BatchNorm, offset: bool) -> None:
        super().__init__()
        self.rows, self.eps, affine = rows, options.eps, options.affine
        self.of_batch = options.inference == "batch"
        self.precise_bn_batches = options.precise_bn_batches
        if self.precise_bn_batches is None:
            self.momentum = options.momentum
        else:
            self.register_buffer("momentum", torch.tensor(options.momentum, dtype=torch.float64))
        for name, value, learned in (
            ("weight", torch.ones(features), affine),
            ("bias", torch.zeros(features), affine and offset),
        ):
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value, persistent=False)
        self.register_buffer("running_mean", torch.zeros(rows, features))
        self.register_buffer("running_var", torch.ones(rows, features))

    def at(self, x: Tensor, step: int, seen: Seen) -> Tensor:
        """Return x (B, F) of this step, normalized."""
        if self.training or self.of_batch:
            y, mean, var = functional.batch_norm(x, self.weight, self.bias, self.eps)
            if self.training:
                seen.append((mean, var * (len(x) / (len(x) - 1))))
            return y
        row = min(step, self.rows - 1)
        scale = self.weight * torch.rsqrt(self.running_var[row] + self.eps)
        return torch.addcmul(self.bias - self.running_mean[row] * scale, x, scale)

    def remember(self, seen: Seen) -> None:
        """Update the running statistics of each step, or the shared ones by the mean over the steps."""
        if seen:
            means, variances = zip(*seen, strict=True)
            self._move(torch.stack(means), torch.stack(variances))

    def forward(self, x: Tensor) -> Tensor:
        """Return a whole sequence x (T, B, F), normalized."""
        if self.training or self.of_batch:
            y, mean, var = functional.batch_norm_steps(x, self.weight, self.bias, self.eps)
            if self.training:
                self._move(mean, var * (x.shape[1] / (x.shape[1] - 1)))
            return y
        mean, var = self._rows(self.running_mean, len(x)), self._rows(self.running_var, len(x))
        scale = self.weight * torch.rsqrt(var + self.eps)
        return torch.addcmul(self.bias - mean * scale, x, scale)

    def _rows(self, statistics: Tensor, steps: int) -> Tensor:
        """Return the running statistics of the first `steps` steps: (steps, 1, F), or (1, 1, F) if shared."""
        if self.rows > 1:
            beyond = statistics[-1:].expand(max(0, steps - self.rows), -1)
            statistics = torch.cat([statistics[:steps], beyond])
        return statistics.unsqueeze(1)

    @torch.no_grad()
    def _move(self, mean: Tensor, var: Tensor) -> None:
        """Update the running statistics by mean and unbiased variance (T, F) of one batch."""
        if self.rows == 1:
            mean, var = mean.mean(0, keepdim=True), var.mean(0, keepdim=True)
        move(self.running_mean, mean, self.momentum)
        move(self.running_var, var, self.momentum)


def move(running: Tensor, now: Tensor, momentum: float | Tensor) -> None:
    """Set running <- (1 - momentum) running + momentum now."""
    if isinstance(momentum, Tensor):
        running.mul_(1 - momentum).add_(now * momentum)
    else:
        running.mul_(1 - momentum).add_(now, alpha=momentum)
