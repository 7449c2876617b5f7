"""Recurrent nets against torch's own and against explicit loops; sequences; refusals."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import Trained, data_of, runs_of, trainer
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from normbench.models import MODELS
from normbench.models.init import as_trained, initialize, initialize_from_batch
from normbench.seeding import generator

SHAPE = (2, 6, 6)
close = {"rtol": 1e-9, "atol": 1e-11}
CELLS = ["lstm", "rnn"]
GATES = {"lstm": 4, "rnn": 1}


def options(cell, norm="none", **fields):
    section = {"name": norm} if isinstance(norm, str) else norm
    return MODELS[cell].model_validate({"name": cell, "width": 5, "norm": section, **fields}).resolve()


def built(cell, norm="none", seed=0, shape=SHAPE, **fields):
    """A net in float64 with random gains and offsets."""
    made = options(cell, norm, **fields)
    net = made.build(shape, 3)
    initialize(net, made.init, seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.3)
    return net.double()


def images(seed=0, batch=7, shape=SHAPE):
    return torch.randn(batch, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def reorder(value: Tensor) -> Tensor:
    """Change our order of the gates, i, f, o, g, to torch's, or back."""
    if len(value) % 4 or len(value) == 5:
        return value
    i, f, o, g = value.chunk(4)
    return torch.cat([i, f, g, o])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_without_a_normalization_it_equals_torchs_net(cell, depth, fused):
    net, x = built(cell, depth=depth), images()
    theirs = {"lstm": nn.LSTM, "rnn": nn.RNN}[cell](12, 5, depth, dtype=torch.float64)
    with torch.no_grad():
        for index, layer in enumerate(net.hidden):
            layer.cell.fused = fused
            getattr(theirs, f"weight_ih_l{index}").copy_(reorder(layer.cell.input.weight))
            getattr(theirs, f"weight_hh_l{index}").copy_(reorder(layer.cell.recurrent.weight))
            getattr(theirs, f"bias_ih_l{index}").copy_(reorder(layer.cell.offset))
            getattr(theirs, f"bias_hh_l{index}").zero_()
    rows = x.permute(2, 0, 1, 3).flatten(2)
    ours, expected = net.hidden(rows), theirs(rows)[0]
    torch.testing.assert_close(ours, expected, **close)
    torch.testing.assert_close(net(x), net.classifier(expected[-1]), **close)
    upstream = images(1)[:, 0, 0, :5].expand_as(ours)
    cells = [layer.cell for layer in net.hidden]
    mine = torch.autograd.grad(
        ours, [p for c in cells for p in (c.input.weight, c.recurrent.weight, c.offset)], upstream
    )
    names = [f"{kind}_l{index}" for index in range(depth) for kind in ("weight_ih", "weight_hh", "bias_ih")]
    torchs = torch.autograd.grad(expected, [getattr(theirs, name) for name in names], upstream)
    for a, b in zip(mine, torchs, strict=True):
        torch.testing.assert_close(reorder(a), b, **close)


def written_out(cell, net, x: Tensor, normalize) -> tuple[Tensor, list[Tensor]]:
    """The formula of the cell, step by step, with `normalize(place, layer, value)`."""
    c_net = net.hidden[0].cell
    width = 5
    h = c = torch.zeros(len(x), width, dtype=x.dtype)
    outputs = []
    for row in x.permute(2, 0, 1, 3).flatten(2):
        z = normalize("recurrent", c_net.recurrent_norm, h @ c_net.recurrent.weight.T)
        z = z + normalize("input", c_net.input_norm, row @ c_net.input.weight.T) + c_net.offset
        if cell == "rnn":
            h = torch.tanh(z)
        else:
            i, f, o, g = z.split(width, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(normalize("cell", c_net.cell_norm, c))
        outputs.append(h)
    return net.classifier(h), outputs


def batch_normalize(noted):
    def normalize(place, layer, x):
        if layer is None:
            return x
        mean, var = x.mean(0), ((x - x.mean(0)) ** 2).mean(0)
        noted.setdefault(place, []).append((mean.detach(), x.detach().var(0)))
        return (x - mean) / (var + 1e-5).sqrt() * layer.weight + layer.bias

    return normalize


def layer_normalize(place, layer, x):
    if layer is None:
        return x
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    return (x - mean) / (var + 1e-5).sqrt() * layer.layer.weight + layer.layer.bias


@pytest.mark.parametrize("where", ["full", "input"])
@pytest.mark.parametrize("norm", ["batchnorm", "layernorm"])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_and_gradients_follow_the_formula(cell, norm, where):
    """BN-LSTM (Cooijmans et al. 2017, equations 6 to 8) and LN-LSTM (Ba et al. 2016, equations 20 to 22)."""
    net, x = built(cell, norm, recurrent_norm=where), images()
    normalize = batch_normalize({}) if norm == "batchnorm" else layer_normalize
    ours, (theirs, _) = net(x), written_out(cell, net, x, normalize)
    torch.testing.assert_close(ours, theirs, **close)
    parameters = list(net.parameters())
    upstream = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, parameters, upstream),
        torch.autograd.grad(theirs, parameters, upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("statistics", ["per_step", "shared"])
@pytest.mark.parametrize("cell", CELLS)
def test_running_statistics_belong_to_each_step_and_serve_at_inference(cell, statistics):
    net = built(cell, {"name": "batchnorm", "momentum": 0.25}, statistics=statistics)
    running: dict[str, tuple[Tensor, Tensor]] = {}
    for seed in range(3):
        noted: dict[str, list[tuple[Tensor, Tensor]]] = {}
        net(images(seed))
        written_out(cell, net, images(seed), batch_normalize(noted))
        for place, pairs in noted.items():
            mean, var = (torch.stack(part) for part in zip(*pairs, strict=True))
            if statistics == "shared":
                mean, var = mean.mean(0, keepdim=True), var.mean(0, keepdim=True)
            old = running.get(place, (torch.zeros_like(mean), torch.ones_like(var)))
            running[place] = 0.75 * old[0] + 0.25 * mean, 0.75 * old[1] + 0.25 * var
    steps = dict.fromkeys(running, -1)

    def with_running(place, layer, x):
        steps[place] += 1
        row = 0 if statistics == "shared" else steps[place]
        mean, var = (value[row] for value in running[place])
        return (x - mean) / (var + 1e-5).sqrt() * layer.weight + layer.bias

    x = images(9, batch=1)
    torch.testing.assert_close(net.eval()(x), written_out(cell, net, x, with_running)[0], **close)
    for place, (mean, var) in running.items():
        layer = getattr(net.hidden[0].cell, f"{place}_norm")
        torch.testing.assert_close(layer.running_mean, mean, **close)
        torch.testing.assert_close(layer.running_var, var, **close)


@pytest.mark.parametrize(
    ("cell", "statistics", "executor"),
    [
        ("lstm", "per_step", "vectorized"),
        ("lstm", "shared", "looped"),
        ("rnn", "per_step", "looped"),
        ("rnn", "shared", "vectorized"),
    ],
)
def test_precise_statistics_are_means_over_training_batches_at_each_step(cell, statistics, executor):
    """They are those of the weights of each evaluation; the training keeps its own and its bits."""
    norm, model = {"name": "batchnorm"}, {"name": cell, "width": 5, "statistics": statistics}
    parts = {"seeds": 2, "train": {"steps": 4, "eval_every": 2, "dtype": "float64"}}
    precise = runs_of(model={**model, "norm": {**norm, "precise_bn_batches": 3}}, **parts)
    usual = runs_of(model={**model, "norm": norm}, **parts)
    trained, other = Trained(precise, executor), Trained(usual, executor)
    stack = trainer(precise, executor)
    for mine, its in zip(precise, usual, strict=True):
        tensors = trained.tensors[mine.run_id]
        for name, value in other.tensors[its.run_id].items():
            torch.testing.assert_close(tensors[name], value, **close)
        net = stack._initial_model(mine)
        net.load_state_dict(tensors, strict=False)
        batches = []
        for step in range(3):
            noted: dict[str, list[tuple[Tensor, Tensor]]] = {}
            written_out(cell, net, stack.sampler.images(mine.seed, step)[0], batch_normalize(noted))
            batches.append(noted)
        steps = dict.fromkeys(batches[0], -1)

        def with_means(place, layer, x, batches=batches, steps=steps):
            steps[place] += 1
            rows = range(8) if statistics == "shared" else [steps[place]]
            pairs = [noted[place][row] for noted in batches for row in rows]
            mean, var = (torch.stack(part).mean(0) for part in zip(*pairs, strict=True))
            return (x - mean) / (var + 1e-5).sqrt() * layer.weight + layer.bias

        test = data_of(mine).test
        logits, _ = written_out(cell, net, test.x, with_means)
        loss = nn.functional.cross_entropy(logits, test.y).item()
        assert trained.rows[mine.run_id][-1].test_loss == pytest.approx(loss, rel=1e-9)
        assert other.rows[its.run_id][-1].test_loss != pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("where", ["full", "input", "between_layers"])
@pytest.mark.parametrize("cell", CELLS)
def test_with_batch_statistics_inference_is_that_of_training_and_nothing_moves(cell, where):
    norm = {"name": "batchnorm", "inference": "batch"}
    net, x = built(cell, norm, depth=2, recurrent_norm=where), images()
    before = {name: value.clone() for name, value in net.named_buffers()}
    found = net.eval()(x)
    for name, value in net.named_buffers():
        assert torch.equal(value, before[name])
    torch.testing.assert_close(found, net.train()(x), **close)
    alone = net.eval()(x[:1])  # of one image nothing is left before a gain and an offset
    if where == "full":
        torch.testing.assert_close(alone, net(x[1:2]), **close)


def test_blank_steps_after_the_image_have_batch_statistics_of_their_own():
    net = built("lstm", {"name": "batchnorm", "inference": "batch"}, extra_test_steps=2)
    x = torch.cat([images(), torch.zeros(7, 2, 2, 6, dtype=torch.float64)], 2)
    torch.testing.assert_close(
        net.eval()(images()), written_out("lstm", net, x, batch_normalize({}))[0], **close
    )


@pytest.mark.parametrize("where", ["full", "input", "between_layers"])
def test_steps_beyond_the_training_sequence_use_the_statistics_of_its_last_step(where):
    net = built("lstm", "batchnorm", recurrent_norm=where, depth=2, extra_test_steps=4)
    for seed in range(3):
        net.train()(images(seed))
    long = built("lstm", "batchnorm", recurrent_norm=where, depth=2, shape=(2, 10, 6))
    state = net.state_dict()
    for key, value in state.items():
        if "running" in key:  # as if the net had ten steps, the last four like the sixth
            state[key] = torch.cat([value, value[-1:].expand(4, -1)])
    long.load_state_dict(state)
    x = images(7)
    blank = torch.cat([x, torch.zeros(len(x), 2, 4, 6, dtype=x.dtype)], 2)
    torch.testing.assert_close(net.eval()(x), long.eval()(blank), **close)
    assert net.train().sequences(x).shape == (6, 7, 12)
    assert net.eval().sequences(x).shape == (10, 7, 12)


def test_between_layers_normalizes_each_step_of_the_outputs_of_a_layer():
    net, x = built("lstm", "batchnorm", recurrent_norm="between_layers", depth=2), images()
    lower, upper = net.hidden
    assert [name for name, _ in lower.named_children()] == ["cell"]
    handed = lower(net.sequences(x))
    layer = upper.norm
    normal = [(h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt() for h in handed]
    expected = upper.cell(torch.stack([h * layer.weight + layer.bias for h in normal]))
    torch.testing.assert_close(net(x), net.classifier(expected[-1]), **close)


@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm", "weightnorm"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_run_under_vmap_equals_the_run_alone(cell, norm):
    nets = [built(cell, norm, seed, depth=2) for seed in range(3)]
    params, buffers = stack_module_state(nets)
    x = images()

    def run(p, b):
        return functional_call(nets[0], (p, b), (x,))

    y = vmap(run)(params, buffers)
    upstream = torch.randn_like(y)
    grads = dict(zip(params, torch.autograd.grad(y, list(params.values()), upstream), strict=True))
    for lane, net in enumerate(nets):
        out = net(x)
        torch.testing.assert_close(y[lane], out, **close)
        named = dict(net.named_parameters())
        own = torch.autograd.grad(out, list(named.values()), upstream[lane])
        for name, gradient in zip(named, own, strict=True):
            torch.testing.assert_close(grads[name][lane], gradient, **close)
        for name, value in net.named_buffers():
            torch.testing.assert_close(buffers[name][lane], value, **close)


def test_sequences_of_rows_pixels_and_permuted_pixels():
    x = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6).double()

    def sequences(**fields):
        return options("rnn", **fields).build((3, 4, 6), 2).sequences(x)

    rows = sequences()
    assert rows.shape == (4, 2, 18)
    assert torch.equal(rows[1, 0], x[0, :, 1].flatten())
    pixels = sequences(sequence="pixels")
    assert pixels.shape == (24, 2, 3)
    assert torch.equal(pixels[7, 1], x[1, :, 1, 1])
    permuted = sequences(sequence="permuted_pixels")
    order = torch.randperm(24, generator=generator(0, "permutation"))
    assert torch.equal(permuted, pixels[order])
    assert not torch.equal(permuted, pixels)
    pooled = sequences(sequence="pixels", pooling=2)
    assert pooled.shape == (6, 2, 3)
    assert torch.equal(pooled[4, 0], x[0, :, 2:4, 2:4].mean((1, 2)))


def test_initial_values_of_recurrent_weights_and_gates():
    eye = torch.eye(5)
    for cell in CELLS:
        made = options(cell, recurrent_init="identity", init={"scheme": "orthogonal"})
        net = made.build(SHAPE, 3)
        initialize(net, made.init, 0)
        blocks = net.hidden[0].cell.recurrent.weight.detach().unflatten(0, (GATES[cell], 5))
        assert torch.equal(blocks[-1], eye)
        for block in blocks[:-1]:
            torch.testing.assert_close(block @ block.T, eye)
            assert not torch.equal(block, eye)
        assert not net.hidden[0].cell.offset.any()
    made = options("lstm", "weightnorm", recurrent_init="orthogonal", forget_bias=2.0, init={"scheme": "he"})
    net = made.build(SHAPE, 3)
    initialize(net, made.init, 0)
    initialize_from_batch(net, images().float())
    cell = net.hidden[0].cell
    torch.testing.assert_close(cell.recurrent.gain.detach(), torch.ones(20))  # g = ||v||
    assert cell.offset.tolist() == [0.0] * 5 + [2.0] * 5 + [0.0] * 10


def test_gains_start_as_set():
    for norm, gain, start in (("batchnorm", None, 0.1), ("layernorm", None, 1.0), ("batchnorm", 0.7, 0.7)):
        cell = options("lstm", norm, norm_gain=gain).build(SHAPE, 3).hidden[0].cell
        for layer in (cell.input_norm, cell.recurrent_norm, cell.cell_norm):
            weight = getattr(layer, "layer", layer).weight
            torch.testing.assert_close(weight.detach(), torch.full_like(weight, start))
    assert not dict(cell.recurrent_norm.named_parameters()).keys() & {"bias"}
    assert "bias" in dict(cell.cell_norm.named_parameters())


def test_state_noise_has_its_standard_deviation_in_training_and_is_off_at_inference():
    net = built("rnn", state_noise=0.5)
    noise = net.hidden[0].cell.noise
    assert noise.place == "hidden.0.cell.noise"
    torch.manual_seed(0)
    values = noise(torch.zeros(4000, 5, dtype=torch.float64))
    assert float(values.std()) == pytest.approx(0.5, rel=0.02)
    assert abs(float(values.mean())) < 0.02
    assert torch.equal(net.eval()(images()), net(images()))
    with as_trained(net):
        assert not noise.training


def test_options_that_do_not_apply_to_recurrent_nets_are_refused():
    assert "steps of a sequence" in options("lstm", "mean_only_batchnorm").refuses(SHAPE, 9)
    assert "not a fixed point" in options("rnn", "selu").refuses(SHAPE, 9)
    assert "at least 2 layers" in options("lstm", "layernorm", recurrent_norm="between_layers").refuses(
        SHAPE, 9
    )
    assert options("lstm", "none", recurrent_norm="between_layers").refuses(SHAPE, 9) is None
    assert "pooling 4" in options("lstm", pooling=4).refuses(SHAPE, 9)
    dropout = {"rate": 0.5, "placement": "before_norm"}
    assert "before_norm" in options("lstm", dropout=dropout).refuses(SHAPE, 9)
    assert "at least 2" in options("lstm", "batchnorm").refuses(SHAPE, 1)
    for name, value in {"ghost": 3, "detached": True, "frozen_from": 5, "noise_scale": 1.5}.items():
        assert f"its option {name}" in options("rnn", {"name": "batchnorm", name: value}).refuses(SHAPE, 9)
    for name, value in {"precise_bn_batches": 3, "inference": "batch"}.items():
        assert options("rnn", {"name": "batchnorm", name: value}).refuses(SHAPE, 9) is None


def test_options_without_effect_are_reset():
    made = options("lstm", "weightnorm", recurrent_norm="input", statistics="shared", norm_gain=3.0)
    assert made == options("lstm", "weightnorm")
    assert options("lstm", "layernorm", statistics="shared") == options("lstm", "layernorm")
    assert options("lstm", activation="relu") == options("lstm")
    assert options("rnn", activation="relu") != options("rnn")
