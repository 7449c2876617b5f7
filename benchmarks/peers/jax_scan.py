"""JAX: one jitted scan over the steps of a net vmapped over rates and, outside of them, seeds.

The batch of a seed is gathered once and shared by its rates. MLP with or without batch normalization.
"""

from __future__ import annotations

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from data import tensors
from jax import Array, lax
from work import Took, Work, clock, main

Params = list[dict[str, Array]]


def initial(work: Work, key: Array) -> tuple[Params, Params]:
    """Return weights as torch's default draws them, and running statistics."""
    params, stats = [], []
    sizes = [784, *[work.width] * work.depth, 10]
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        key, one, two = jax.random.split(key, 3)
        bound = 1 / math.sqrt(inputs)
        part = {"w": jax.random.uniform(one, (inputs, outputs), minval=-bound, maxval=bound)}
        if work.norm == "batchnorm" and layer < work.depth:
            part |= {"gamma": jnp.ones(outputs), "beta": jnp.zeros(outputs)}
            stats.append({"mean": jnp.zeros(outputs), "var": jnp.ones(outputs)})
        else:
            part["b"] = jax.random.uniform(two, (outputs,), minval=-bound, maxval=bound)
        params.append(part)
    return params, stats


def forward(work: Work, params: Params, stats: Params, x: Array, training: bool) -> tuple[Array, Params]:
    activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[work.activation]
    new = []
    for layer, part in enumerate(params[:-1]):
        x = x @ part["w"]
        if "gamma" in part:
            if training:
                mean, var = x.mean(0), x.var(0)
                unbiased = var * (len(x) / (len(x) - 1))
                new.append(
                    {
                        "mean": 0.9 * stats[layer]["mean"] + 0.1 * mean,
                        "var": 0.9 * stats[layer]["var"] + 0.1 * unbiased,
                    }
                )
            else:
                mean, var = stats[layer]["mean"], stats[layer]["var"]
            x = (x - mean) * (lax.rsqrt(var + 1e-5) * part["gamma"]) + part["beta"]
        else:
            x = x + part["b"]
        x = activation(x)
    return x @ params[-1]["w"] + params[-1]["b"], new


def loss(work: Work, params: Params, stats: Params, x: Array, y: Array) -> tuple[Array, Params]:
    logits, new = forward(work, params, stats, x, True)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), new


def train(work: Work) -> Took:
    began = clock()
    x, y, test_x, test_y = (
        jnp.asarray(part.flatten(1).numpy() if part.dim() > 1 else part.numpy()) for part in tensors(work)
    )
    rates = jnp.asarray(work.rates, jnp.float32)

    def update(
        params: Params, stats: Params, rate: Array, images: Array, labels: Array
    ) -> tuple[Params, Params]:
        grads, stats = jax.grad(partial(loss, work), has_aux=True)(params, stats, images, labels)
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), stats

    def seed_step(params: Params, stats: Params, index: Array) -> tuple[Params, Params]:
        return jax.vmap(update, (0, 0, 0, None, None))(params, stats, rates, x[index], y[index])

    def whole(params: Params, stats: Params, indices: Array) -> Array:
        def step(carry: tuple[Params, Params], index: Array) -> tuple[tuple[Params, Params], None]:
            return jax.vmap(seed_step)(*carry, index), None

        (params, stats), _ = lax.scan(step, (params, stats), indices)

        def right(params: Params, stats: Params) -> Array:
            return (forward(work, params, stats, test_x, False)[0].argmax(1) == test_y).mean()

        # run by run: the activations of all at once would not stay in any cache
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), (params, stats))
        return lax.map(lambda one: right(*one), flat)

    starts = [initial(work, jax.random.key(seed)) for seed in work.seeds]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *starts)
    params, stats = jax.tree.map(
        lambda a: jnp.broadcast_to(a[:, None], (a.shape[0], len(rates), *a.shape[1:])), stacked
    )
    order = []
    for seed in work.seeds:
        rng, one = np.random.default_rng(seed), []
        while len(one) < work.steps:
            shuffled = rng.permutation(len(x))[: len(x) // work.batch * work.batch]
            one += list(shuffled.reshape(-1, work.batch))
        order.append(np.stack(one[: work.steps]))
    indices = jnp.asarray(np.stack(order, 1))  # (steps, seeds, batch)
    program = jax.jit(whole).lower(params, stats, indices).compile()
    startup = clock() - began
    began = clock()
    accuracies = program(params, stats, indices).block_until_ready()
    return Took(clock() - began, startup, work.runs, work.steps, [float(value) for value in accuracies])


if __name__ == "__main__":
    main(train)
