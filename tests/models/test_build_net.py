"""The one function that builds a net: what its layers draw comes from the seed, and nothing else changes."""

import torch

from normbench.models import MODELS
from normbench.models.build import build_net

IMAGE = (1, 8, 8)


class Drawing(MODELS["mlp"]):
    """An MLP with a layer that draws while it is made."""

    def assemble(self, input_shape, classes):
        net = super().assemble(input_shape, classes)
        net.register_buffer("drawn", torch.rand(5))
        return net


def options():
    return Drawing(name="mlp", depth=2, width=6)


def test_what_a_layer_draws_follows_from_the_seed_alone():
    before = torch.get_rng_state()
    first = build_net(options(), IMAGE, 10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again, other = (build_net(options(), IMAGE, 10, seed=seed) for seed in (3, 4))
    assert torch.equal(first.drawn, again.drawn)
    assert not torch.equal(first.drawn, other.drawn)


def test_a_net_without_storage_has_the_same_parts():
    stored, bare = (build_net(options(), IMAGE, 10, stored=stored) for stored in (True, False))
    shapes = [{name: t.shape for name, t in net.state_dict().items()} for net in (stored, bare)]
    assert shapes[0] == shapes[1]
    assert all(tensor.is_meta for tensor in bare.state_dict().values())
