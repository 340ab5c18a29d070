"""Parameter counts of the paper, block order, and initial weights."""

import math

import pytest
import torch
from torch import nn

from lib.errors import ConfigError
from lib.models.layers import Dropout
from lib.models.networks import build_model

# Networks this small are several times slower with several threads, which wait for each other on busy cores.
torch.set_num_threads(1)

SMALL = ["small_cnn", "medium_cnn", "resnet8_v1", "resnet20_v1", "resnet18"]


def count(tensors):
    return sum(tensor.numel() for tensor in tensors)


def statistics_count(model):
    return sum(count([m.running_mean, m.running_var]) for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Networks


@pytest.mark.parametrize(
    ("architecture", "classes", "parameters", "statistics"),
    [
        ("small_cnn", 10, 19_466, 0),
        ("medium_cnn", 10, 971_146, 0),
        ("resnet20_v1", 10, 273_066, 1_376),
        ("resnet18", 10, 11_173_962, 9_600),
        ("resnet18", 100, 11_220_132, 9_600),
    ],
)
def test_parameter_count_is_the_papers(architecture, classes, parameters, statistics):
    model = build_model(architecture, (32, 32, 3), classes)
    assert count(model.parameters()) == parameters
    assert statistics_count(model) == statistics


def test_parameter_count_resnet8_v1():
    model = build_model("resnet8_v1", (32, 32, 3), 10)
    assert (count(model.parameters()), statistics_count(model)) == (78_186, 480)


def test_resnet50_v2_is_timms():
    pytest.importorskip("timm")
    model = build_model("resnet50_v2", (64, 64, 3), 7).eval()
    assert count(model.parameters()) == 25_549_352 - 1_000 * 2_049 + 7 * 2_049
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 7)


def test_resnet50_v2_without_timm_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ConfigError, match=r"^architecture 'resnet50_v2' needs timm: pip install 'timm>=1.0'$"):
        build_model("resnet50_v2", (64, 64, 3), 7)


def test_architecture_unknown_is_one_line():
    with pytest.raises(ConfigError, match="unknown architecture 'resnet20'; did you mean 'resnet20_v1'"):
        build_model("resnet20", (32, 32, 3), 10)


@pytest.mark.parametrize(("architecture", "blocks"), [("small_cnn", 3), ("medium_cnn", 4)])
def test_cnn_block_order_is_conv_dropout_pool_relu_but_no_last_relu(architecture, blocks):
    layers = build_model(architecture, (32, 32, 3), 10, dropout=0.1).layers
    kinds = [type(layer).__name__ for layer in layers.modules() if not list(layer.children())]
    block = ["Conv2d", "Dropout", "MaxPool2d", "ReLU"]
    assert kinds == block * (blocks - 1) + block[:3] + ["Flatten", "Linear"]


def test_cnn_last_block_passes_negative_values():
    model = build_model("small_cnn", (8, 8, 1), 10).eval()
    pixels = torch.randint(256, (16, 1, 8, 8), generator=generator())
    with torch.no_grad():
        assert (model.layers[:-1](model.normalize(pixels)) < 0).any()


def test_cnn_dropout_probability_reaches_every_block():
    for probability in (0.0, 0.1):
        model = build_model("medium_cnn", (32, 32, 3), 10, dropout=probability)
        thresholds = [module.threshold for module in model.modules() if isinstance(module, Dropout)]
        assert thresholds == [round(256 * probability)] * 4


def test_resnet_v1_has_biases_and_shortcuts_without_norm():
    model = build_model("resnet20_v1", (32, 32, 3), 10)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len([conv for conv in convolutions if conv.kernel_size == (3, 3)]) == 19
    assert len([conv for conv in convolutions if conv.kernel_size == (1, 1)]) == 2
    assert all(conv.bias is not None for conv in convolutions)
    assert len([module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]) == 19


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 2)])
@pytest.mark.parametrize("architecture", SMALL)
def test_output_shape(architecture, shape):
    model = build_model(architecture, shape, 7).eval()
    with torch.no_grad():
        logits = model(torch.zeros(3, shape[2], *shape[:2], dtype=torch.uint8))
    assert logits.shape == (3, 7)
    assert logits.dtype == torch.float32


def test_pixels_are_normalised_inside_the_network():
    model = build_model("small_cnn", (8, 8, 2), 10)
    pixels = torch.randint(256, (3, 2, 8, 8), generator=generator(), dtype=torch.uint8)
    assert torch.equal(model.normalize(pixels), pixels.float())
    shift, scale = torch.tensor([1.0, 2.0]).view(1, 1, 2), torch.tensor([4.0, 8.0]).view(1, 1, 2)
    model.set_pixel_statistics(shift, scale)
    expected = (pixels.float() - torch.tensor([1.0, 2.0]).view(2, 1, 1)) / torch.tensor([4.0, 8.0]).view(2, 1, 1)
    assert torch.equal(model.normalize(pixels), expected)
    assert all("shift" not in name and "scale" not in name for name in model.state_dict())


def test_pixels_shift_by_a_mean_image_keeps_its_orientation():
    model = build_model("small_cnn", (2, 3, 1), 10)
    image = torch.arange(6.0).view(2, 3, 1)
    model.set_pixel_statistics(image, torch.full((1, 1, 1), 255.0))
    assert torch.equal(model.normalize(image.permute(2, 0, 1)[None]), torch.zeros(1, 1, 2, 3))


# Initial weights


def test_initialization_of_cnn_is_xavier_uniform_with_biases():
    for module in build_model("medium_cnn", (32, 32, 3), 10, generator=generator()).modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        outgoing, incoming = module.weight.shape[:2]
        field = module.weight[0, 0].numel()
        limits = {
            module.weight: math.sqrt(6 / ((incoming + outgoing) * field)),
            module.bias: math.sqrt(6 / (1 + outgoing)),
        }
        for tensor, limit in limits.items():
            assert tensor.abs().max() <= limit
            # There are at least ten draws: one exceeds half of the limit, and some are below zero.
            assert tensor.max() > limit / 2 or tensor.min() < -limit / 2
            assert tensor.min() < 0 < tensor.max()
            if tensor.numel() > 1000:
                assert tensor.mean().item() == pytest.approx(0, abs=0.1 * limit)
                assert tensor.var().item() == pytest.approx(limit**2 / 3, rel=0.1)


def test_initialization_of_resnet_is_truncated_he_normal_without_biases():
    for module in build_model("resnet20_v1", (32, 32, 3), 10, generator=generator()).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert (module.running_mean == 0).all()
            assert (module.running_var == 1).all()
        if isinstance(module, nn.Conv2d | nn.Linear):
            variance = 2 / module.weight[0].numel()
            assert (module.bias == 0).all()
            assert module.weight.abs().max() <= 2 * math.sqrt(variance) / 0.8796
            if module.weight.numel() > 2000:
                assert module.weight.var().item() == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("architecture", SMALL)
def test_layers_with_weights_are_those_that_are_initialised(architecture):
    network = build_model(architecture, (8, 8, 1), 10, dropout=0.1)
    having = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    assert {type(module) for module in having} <= {nn.Conv2d, nn.Linear, nn.BatchNorm2d}
    assert not any(isinstance(module, nn.Dropout) for module in network.modules())


@pytest.mark.parametrize("architecture", SMALL)
def test_initialization_repeats_with_the_seed_and_differs_with_another(architecture):
    first, again, other = (
        torch.cat([p.detach().flatten() for p in build_model(architecture, (8, 8, 1), 10, generator=g).parameters()])
        for g in (generator(3), generator(3), generator(4))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_initialization_without_generator_is_seed_zero():
    named, unnamed = (
        build_model("small_cnn", (8, 8, 1), 10, generator=generator(0)),
        build_model("small_cnn", (8, 8, 1), 10),
    )
    assert all(torch.equal(a, b) for a, b in zip(named.parameters(), unnamed.parameters(), strict=True))


@pytest.mark.parametrize("architecture", SMALL)
def test_global_random_state_is_neither_used_nor_changed(architecture):
    built = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            network = build_model(architecture, (8, 8, 1), 10, dropout=0.1, generator=generator()).train()
            for module in network.modules():
                if isinstance(module, Dropout):
                    module.generator = generator(5)
            built.append(network(torch.full((4, 1, 8, 8), 100.0)))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*built)
