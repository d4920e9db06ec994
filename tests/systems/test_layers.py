"""What stands before what: norm before activation, channel gate before spatial gate; squeeze-and-excitation by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import mmfer
from mmfer.errors import MmferError
from mmfer.systems import system_params
from mmfer.systems.fusion import Fusion, stack
from mmfer.systems.layers import BasicBlock, ChannelGate, SpatialGate, SqueezeExcite, attention, conv_norm
from mmfer.systems.ours import ImageBranch, OursParams
from mmfer.training.models import load_model


@pytest.fixture
def maps():
    """Feature maps (2, 4, 6, 6)."""
    torch.manual_seed(0)
    return torch.randn(2, 4, 6, 6)


def normed(values, dims):
    """Zero mean and unit variance over some dimensions, as batch norm makes it in training."""
    mean, variance = values.mean(dims, keepdim=True), values.var(dims, keepdim=True, correction=0)
    return (values - mean) / (variance + 1e-5).sqrt()


def test_a_stack_normalises_before_the_activation():
    torch.manual_seed(0)
    layers, vectors = stack([5, 3], dropout=0.0), torch.randn(8, 5)
    torch.testing.assert_close(layers(vectors), normed(vectors @ layers[0][0].weight.T, 0).relu())


def test_a_convolution_is_normalised_before_the_activation(maps):
    layers = conv_norm(4, 3)
    expected = normed(functional.conv2d(maps, layers[0].weight, layers[0].bias, padding=1), (0, 2, 3)).relu()
    torch.testing.assert_close(layers(maps), expected)


def test_a_block_of_ours_is_convolution_norm_relu_attention_pooling(maps):
    block = ImageBranch.block(4, 3, OursParams(reduction=1))
    convolved = functional.conv2d(maps, block[0].weight, padding=1)
    gated = block[3](normed(convolved, (0, 2, 3)).relu())
    torch.testing.assert_close(block(maps), functional.max_pool2d(gated, 2))


def test_cbam_is_the_channel_gate_then_the_spatial_gate(maps):
    gates = attention("cbam", 4, 1).eval()
    channel, spatial = ChannelGate(4, 1), SpatialGate().eval()
    channel.load_state_dict(gates[0].state_dict())
    spatial.load_state_dict(gates[1].state_dict())
    torch.testing.assert_close(gates(maps), spatial(channel(maps)))
    assert (gates(maps) - channel(spatial(maps))).abs().max() > 1e-4


def test_squeeze_and_excitation_by_hand(maps):
    gate = SqueezeExcite(4, 2)
    means = maps.mean(dim=(2, 3))
    hidden = torch.relu(means @ gate[0].weight.T + gate[0].bias)
    weight = torch.sigmoid(hidden @ gate[2].weight.T + gate[2].bias)
    torch.testing.assert_close(gate(maps), maps * weight[:, :, None, None])


def test_a_squeezed_block_weights_the_new_maps_and_not_the_shortcut(maps):
    block = BasicBlock(4, 4, 1, squeeze=2).eval()
    nn.init.constant_(block.gate[2].bias, -100)  # closed
    torch.testing.assert_close(block(maps), maps.relu())


def test_dropout_and_withheld_branches_act_in_training_alone():
    torch.manual_seed(0)
    vectors = {"landmarks": torch.randn(64, 4), "hog": torch.randn(64, 6)}
    network = Fusion({n: nn.Identity() for n in vectors}, [4, 6], 3, withhold={"hog": 0.5})
    withheld = network.train().gate("hog", vectors["hog"])
    silent = (withheld == 0).all(dim=1)
    assert 10 < silent.sum() < 54
    torch.testing.assert_close(withheld[~silent], 2 * vectors["hog"][~silent])  # scaled up, as dropout does
    torch.testing.assert_close(network.gate("landmarks", vectors["landmarks"]), vectors["landmarks"])
    torch.testing.assert_close(network.eval().gate("hog", vectors["hog"]), vectors["hog"])
    layers = stack([4, 3], dropout=0.9)
    assert (layers.train()(vectors["landmarks"]) == 0).float().mean() > 0.8
    torch.testing.assert_close(layers.eval()(vectors["landmarks"]), layers[0](vectors["landmarks"]))


@pytest.mark.parametrize("kind", ["ours", "compact", "se_fusion"])
def test_a_branch_named_twice_is_refused(kind):
    with pytest.raises(MmferError, match=rf"systems\.{kind}: branches: hog, hog: name each once"):
        system_params(kind, {"branches": ["hog", "hog"]})


@pytest.mark.parametrize("kind", ["ours", "compact", "se_fusion"])
def test_branches_stand_in_the_order_of_their_names_and_only_those(kind):
    system, params = system_params(kind, {"branches": ["hog", "landmarks"]})
    with torch.device("meta"):
        network = system.build(params, 3)
    assert network.inputs == tuple(network.branches) == ("hog", "landmarks")


def test_the_weights_of_the_package_answer_as_the_graph_exported_from_them():
    """model.onnx was written when the weights were: it holds the layers as they stood then."""
    from mmfer.use.onnx_model import load_onnx

    folder = Path(mmfer.__file__).parent / "weights/fer2013"
    rng = np.random.default_rng(0)
    faces = {
        "images": rng.integers(0, 256, (4, 48, 48), dtype=np.uint8),
        "landmarks": rng.uniform(5, 43, (4, 68, 2)).astype(np.float32),
        "hog": rng.random((4, 900), dtype=np.float32),
    }
    expected = load_onnx(folder / "model.onnx").predict(faces)
    np.testing.assert_allclose(load_model(folder).predict(faces), expected, atol=1e-4)
