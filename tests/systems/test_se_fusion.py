"""The system se_fusion: stems, squeezed stages, pooling, cost, and the classifiers of its branches."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from mmfer.errors import MmferError
from mmfer.systems import system_params
from mmfer.systems.layers import SqueezeExcite
from mmfer.systems.se_fusion import MeanAndMaximum

SMALL = {"channels": [4, 6], "blocks": [1, 2], "squeezed": 1, "landmarks_hidden": [8], "hog_hidden": [5]}


def build(**block):
    """A network with these parameters, three classes."""
    torch.manual_seed(0)
    system, params = system_params("se_fusion", block)
    return system.build(params, 3)


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return {"image": torch.randn(6, 1, 48, 48), "landmarks": torch.randn(6, 136), "hog": torch.rand(6, 900)}


TARGETS = torch.eye(3)[[0, 1, 2, 0, 1, 2]]


def multiplications(stem, channels, blocks, side):
    """Of the convolutions of an image branch: 3x3 from a to b maps of a side, and 1x1 where the shape changes."""
    total, a = 9 * stem * channels[0] * side**2, channels[0]
    for stage, (b, count) in enumerate(zip(channels, blocks, strict=True)):
        side = side // 2 if stage else side
        total += (9 * (a * b + (2 * count - 1) * b * b) + (a * b if stage else 0)) * side**2
        a = b
    return total


@pytest.mark.parametrize(
    ("block", "stem", "side"),
    [
        ({}, 4, 24),
        ({"stem": "halved"}, 1, 24),
        ({"stem": "full", "channels": [24, 48, 96, 160]}, 1, 48),
    ],
)
def test_every_stem_costs_a_face_124_million_multiplications(block, stem, side, inputs):
    with torch.device("meta"):
        network = build(**block, branches=["image"]).eval()
        with FlopCounterMode(display=False) as counter:
            network(image=torch.zeros(1, 1, 48, 48))
    channels = block.get("channels", [48, 96, 192, 320])
    by_hand = multiplications(stem, channels, [1, 2, 2, 1], side)
    assert by_hand == pytest.approx(124e6, rel=0.01)
    assert counter.get_total_flops() / 2 == pytest.approx(by_hand, rel=0.01)  # linear layers beside it


@pytest.mark.parametrize(("stem", "side"), [("halved", 24), ("space_to_depth", 24), ("full", 48)])
def test_a_stem_halves_the_face_or_does_not_and_each_further_stage_does(stem, side, inputs):
    branch = build(**SMALL, stem=stem).eval().branches["image"]
    seen = [inputs["image"]]
    for layer in branch:
        seen.append(layer(seen[-1]))
    shapes = [tuple(maps.shape[1:]) for maps in seen if maps.dim() == 4]
    assert (4, side, side) in shapes
    assert shapes[-1] == (6, side // 2, side // 2)
    assert seen[-1].shape == (6, 12)  # mean and maximum of six maps


def test_space_to_depth_makes_four_channels_of_two_by_two_pixels(inputs):
    branch = build(**SMALL).branches["image"]
    image = inputs["image"][:, 0]
    corners = torch.stack([image[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
    torch.testing.assert_close(branch[0](inputs["image"]), corners)
    assert branch[1].weight.shape == (4, 4, 3, 3)


def test_the_last_stages_alone_squeeze():
    branch = build(channels=[4, 4, 6, 6], blocks=[1, 2, 1, 2], squeezed=2).branches["image"]
    stages = [layer for layer in branch if isinstance(layer, nn.Sequential)]
    assert [len(stage) for stage in stages] == [1, 2, 1, 2]
    squeezes = [[isinstance(block.gate, SqueezeExcite) for block in stage] for stage in stages]
    assert squeezes == [[False], [False, False], [True], [True, True]]


def test_mean_and_maximum_of_each_map(inputs):
    maps = torch.randn(2, 3, 4, 5)
    expected = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
    torch.testing.assert_close(MeanAndMaximum()(maps), expected)


@pytest.mark.parametrize(("pooling", "width"), [("mean", 6), ("mean_max", 12)])
def test_the_fusion_is_as_wide_as_the_branches(pooling, width, inputs):
    network = build(**SMALL, pooling=pooling).eval()
    assert network.head.in_features == width + 8 + 5
    assert network(**inputs).shape == (6, 3)


def test_heads_add_the_cross_entropy_of_each_branch_alone(inputs):
    network = build(**SMALL, heads=0.2, dropout=0.0, withhold={"landmarks": 0.9, "hog": 0.9}).train()
    logits = network(**inputs)
    value = network.loss(logits, TARGETS)
    expected = functional.cross_entropy(logits, TARGETS)
    for name, branch in network.branches.items():  # of whole vectors, though most are withheld from the fusion
        vector = branch(inputs[name])
        scores = vector @ network.heads[name].weight.T + network.heads[name].bias
        expected = expected + 0.2 * functional.cross_entropy(scores, TARGETS)
    torch.testing.assert_close(value, expected)


def test_every_weight_learns_with_heads_and_without(inputs):
    for heads in (0.0, 0.2):
        network = build(**SMALL, heads=heads).train()
        network.loss(network(**inputs), TARGETS).backward()
        assert all(p.grad is not None for p in network.parameters())


def test_without_heads_the_loss_is_cross_entropy_and_there_are_no_classifiers(inputs):
    network = build(**SMALL).train()
    logits = network(**inputs)
    torch.testing.assert_close(network.loss(logits, TARGETS), functional.cross_entropy(logits, TARGETS))
    assert not len(network.heads)


def test_heads_say_nothing_where_the_network_is_used(inputs):
    network = build(**SMALL, heads=0.2).eval()
    before = network(**inputs)
    for head in network.heads.values():
        nn.init.constant_(head.weight, torch.nan)
    torch.testing.assert_close(network(**inputs), before)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"blocks": [1, 2]}, "blocks: 2 stages, channels has 4; give each stage its blocks"),
        ({"squeezed": 5}, "squeezed = 5 is more than the 4 stages"),
        ({"heads": -1.0}, "heads: input should be greater than or equal to 0"),
    ],
)
def test_stages_that_do_not_agree_are_refused(block, message):
    with pytest.raises(MmferError, match=message):
        system_params("se_fusion", block)


def test_a_gate_weighs_each_branch_by_its_vector_and_by_what_can_be_seen(inputs):
    plain, gated = build(**SMALL).eval(), build(**SMALL, gated=True).eval()
    assert gated.inputs == ("image", "landmarks", "hog", "visible")
    visible = torch.rand(6, 5)
    gated.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(gated(**inputs, visible=visible), plain(**inputs))  # before training it changes nothing
    score = gated.gates["hog"].score
    with torch.no_grad():
        score.weight[0, -2] = 2.0  # how well the mouth can be seen
        score.weight[0, 0], score.bias[0] = 0.5, -1.0
    vector = plain.branches["hog"](inputs["hog"])
    weight = 2 * torch.sigmoid(0.5 * vector[:, 0] + 2.0 * visible[:, 3] - 1.0)
    plain.branches["hog"].register_forward_hook(lambda module, given, made: made * weight[:, None])
    torch.testing.assert_close(gated(**inputs, visible=visible), plain(**inputs))
