"""The networks of the image alone: parameters and maps of every variant, objectives, histogram equalisation."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mmfer.face.prepare import standard_image
from mmfer.systems import system_params
from mmfer.systems.layers import BasicBlock, Equalise

COUNTS = [
    ("vgg", {}, 20_037_831),
    ("vgg", {"depth": "vgg16"}, 14_725_575),
    ("vgg", {"depth": "vgg13"}, 9_413_319),
    ("vgg", {"depth": "vgg8_fer"}, 40_376_519),
    ("resnet", {}, 11_171_271),
    ("resnet", {"depth": 34}, 21_279_431),
    ("pramerdorfer", {}, 1_765_991),
    ("pramerdorfer", {"net": "inception"}, 1_189_167),
    ("pramerdorfer", {"net": "resnet"}, 5_325_159),
    ("pramerdorfer_ensemble", {}, 3 * 1_765_991 + 2 * 1_189_167 + 3 * 5_325_159),
    ("agrawal", {}, 461_543),
    ("agrawal", {"norm": False}, 461_287),
    ("agrawal", {"filters": [32, 64, 128, 128]}, 4_133_127),
    ("tang", {}, 5_008_295),
    ("lenet", {}, 193_835),
    ("lenet", {"size": 48}, 521_771),
    ("lenet", {"joined": ["p2"]}, 95_051),
    ("lenet", {"joined": []}, 61_451),
    ("shan", {}, 2_413_447),
]

MAPS = [  # channels and side of what each layer with maps puts out
    ("vgg", {"depth": "vgg13"}, [(64, 24), (128, 12), (256, 6), (512, 3), (512, 1)]),
    ("vgg", {"depth": "vgg8_fer"}, [(64, 24), (128, 12), (256, 6), (512, 3)]),
    ("resnet", {}, [(64, 48), (64, 48), (128, 24), (256, 12), (512, 6), (512, 1)]),
    ("pramerdorfer", {"equalise": False}, [(32, 24), (64, 12), (128, 6), (256, 3)]),
    (
        "pramerdorfer",
        {"net": "inception", "equalise": False},
        [
            *[(64, 48), (72, 48), (72, 24), (144, 24), (216, 24), (216, 12), (288, 12), (360, 12)],
            *[(360, 6), (432, 6), (504, 6), (504, 1)],
        ],
    ),
    (
        "pramerdorfer",
        {"net": "resnet", "equalise": False},
        [(32, 48), (32, 48), (64, 24), (128, 12), (256, 6), (256, 1)],
    ),
    ("agrawal", {}, [(32, 24), (32, 12), (32, 6), (32, 3), (7, 3), (7, 1)]),
    ("shan", {}, [(1, 48), (32, 24), (64, 12)]),
]


def build(kind, block=None, n_classes=7):
    """A system of some kind, made like the pipeline makes it."""
    system, params = system_params(kind, block or {})
    return system.build(params, n_classes)


def maps(layers, run):
    """Channels and side of the map behind each layer that puts out maps, while `run` runs."""
    seen = []
    handles = [layer.register_forward_hook(lambda _, __, out: seen.append(out.shape)) for layer in layers]
    with torch.inference_mode():
        run()
    for handle in handles:
        handle.remove()
    return [(shape[1], shape[3]) for shape in seen if len(shape) == 4]


@pytest.fixture
def faces(rng):
    """Two standardised faces of noise."""
    return standard_image(torch.from_numpy(rng.integers(0, 256, (2, 48, 48), dtype=np.uint8)))


@pytest.mark.parametrize(("kind", "block", "count"), COUNTS)
def test_a_network_has_the_parameters_of_its_layers(kind, block, count):
    with torch.device("meta"):
        network = build(kind, block)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("kind", "block", "expected"), MAPS)
def test_a_network_has_the_maps_of_its_paper(kind, block, expected, faces):
    network = build(kind, block).eval()
    assert maps(network.layers, lambda: network(image=faces)) == expected


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in COUNTS}))
def test_every_weight_of_a_network_learns(kind, faces):
    torch.manual_seed(0)
    small = {"members": {"vgg": 1, "inception": 1}} if kind == "pramerdorfer_ensemble" else {}
    network, targets = build(kind, small, n_classes=3).train(), torch.eye(3)[:2]
    assert network.n_classes == 3
    assert network.inputs == ("image",)
    logits = network(image=faces)
    objective = getattr(network, "loss", functional.cross_entropy)
    objective(logits, targets).backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(("low", "high"), [(0, 256), (100, 113), (250, 252)])
def test_equalisation_is_opencvs_though_the_face_comes_standardised(rng, low, high):
    pictures = rng.integers(low, high, (3, 48, 48), dtype=np.uint8)
    pictures[0, :20] = low  # a dark background: OpenCV's cumulated histogram starts behind it
    expected = np.stack([cv2.equalizeHist(picture) for picture in pictures])
    found = Equalise()(standard_image(torch.from_numpy(pictures)))
    torch.testing.assert_close(found, standard_image(torch.from_numpy(expected)))


def test_equalisation_is_opencvs_on_rendered_faces(rendered):
    pictures = rendered[0][:20]
    expected = np.stack([cv2.equalizeHist(picture) for picture in pictures])
    found = Equalise()(standard_image(torch.from_numpy(pictures)))
    torch.testing.assert_close(found, standard_image(torch.from_numpy(expected)))


def test_equalisation_forgets_gain_offset_and_gamma(faces):
    equalise = Equalise()
    torch.testing.assert_close(equalise(faces * 3 + 2), equalise(faces))
    torch.testing.assert_close(equalise((faces - faces.min()).double() ** 3), equalise(faces))


def test_an_even_face_stays_zero_when_equalised():
    assert Equalise()(torch.zeros(1, 1, 48, 48)).abs().max() == 0


def test_a_basic_block_whose_convolutions_are_silent_passes_its_input():
    block, maps = BasicBlock(4, 4, 1), torch.randn(2, 4, 6, 6)
    nn.init.zeros_(block.body[-1].weight)
    torch.testing.assert_close(block(maps), maps.relu())


def test_the_ensemble_predicts_the_mean_probability_of_its_members(faces):
    network = build("pramerdorfer_ensemble", {"members": {"vgg": 2, "inception": 1}}).eval()
    with torch.inference_mode():
        each = [member(Equalise()(faces)).softmax(dim=1) for member in network.members]
        torch.testing.assert_close(network(image=faces).exp(), sum(each) / 3)


def test_a_member_of_the_ensemble_learns_as_if_it_were_alone(faces):
    network = build("pramerdorfer_ensemble", {"members": {"vgg": 2}, "equalise": False}).eval()
    targets = torch.eye(7)[[2, 5]]
    network.loss(network(image=faces), targets).backward()
    for member in network.members:
        alone = torch.autograd.grad(functional.cross_entropy(member(faces), targets), list(member.parameters()))
        torch.testing.assert_close([p.grad for p in member.parameters()], list(alone))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(42, [42, 42, 21, 20, 20, 10, 10, 10, 5]), (48, [48, 48, 24, 23, 23, 11, 11, 11, 5])],
)
def test_tang_has_the_maps_of_its_code_at_42_and_at_48(size, expected):
    layers = build("tang").layers[3:12]  # behind the standardised pixels, up to the last pooling
    assert [side for _, side in maps(layers, lambda: layers(torch.zeros(2, 1, size, size)))] == expected


def test_tangs_pixels_have_mean_0_and_deviation_1_over_the_faces(rng):
    pixels = build("tang").train().layers[:3](torch.from_numpy(rng.normal(3, 2, (64, 1, 48, 48))).float())
    torch.testing.assert_close(pixels.mean(dim=0), torch.zeros(1, 48, 48), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels.std(dim=0, correction=0), torch.ones(1, 48, 48), atol=1e-3, rtol=0)


def test_the_svm_objective_by_hand():
    network = build("tang", n_classes=2)
    for layer in network.weighted:
        nn.init.zeros_(layer.weight)
    network.layers[-1].weight.data[0, :3] = 2.0  # squares: 12
    network.layers[3].weight.data[0, 0, 0, 0] = 10.0  # squares: 100
    logits = torch.tensor([[3.0, -0.5], [0.5, 0.5]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Face 1: class 0 is beyond the margin, class 1 lacks 0.5. Face 2: class 0 lacks 1.5, class 1 lacks 0.5.
    margins = (0.5**2 + 1.5**2 + 0.5**2) / 2
    expected = 2 * margins + 0.5 * (0.02 * 12 + 1e-4 * 100)
    assert network.loss(logits, targets).item() == pytest.approx(expected)


def test_the_svm_objective_asks_nothing_of_a_label_that_is_half_and_half():
    network = build("tang", n_classes=2)
    even = torch.full((1, 2), 0.5)
    small, large = (network.loss(torch.tensor([[score, -score]]), even).item() for score in (0.1, 9.0))
    assert small == pytest.approx(large)


def test_tangs_twin_has_cross_entropy_and_less_decay():
    network = build("tang", {"objective": "softmax"}, n_classes=2)
    for layer in network.weighted:
        nn.init.zeros_(layer.weight)
    network.layers[-1].weight.data[0, 0] = 10.0
    logits, targets = torch.zeros(3, 2), torch.eye(2)[[0, 1, 1]]
    assert network.loss(logits, targets).item() == pytest.approx(np.log(2) + 0.5 * 0.002 * 100)


@pytest.mark.parametrize(("size", "expected"), [(32, [14, 5, 1]), (48, [22, 9, 1])])
def test_lenet_has_its_geometry_at_both_sizes(size, expected, faces):
    network = build("lenet", {"size": size})
    found = maps([network.p1, network.p2, network.c3], lambda: network(image=faces))
    assert found == list(zip([6, 16, 120], expected, strict=True))


def test_lenet_without_joined_layers_sees_c3_alone(faces):
    network = build("lenet", {"size": 48, "joined": []}).eval()
    with torch.inference_mode():
        plain = network.head(network.hidden(network.c3(network.p2(network.p1(faces))).flatten(1)))
        torch.testing.assert_close(network(image=faces), plain)
