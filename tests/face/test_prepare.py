"""What a network reads: light, place and size drop out, turn stays."""

import numpy as np
import torch

from mmfer.face.prepare import landmark_vector, prepare, standard_image


def test_an_image_has_mean_0_and_deviation_1_whatever_its_light(rng):
    image = torch.from_numpy(rng.integers(20, 120, (3, 48, 48), dtype=np.uint8))
    out = standard_image(image)
    assert out.shape == (3, 1, 48, 48)
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(dim=(1, 2, 3), correction=0), torch.ones(3))
    torch.testing.assert_close(standard_image(image * 2 + 10), out)


def test_an_even_image_is_zero():
    assert standard_image(torch.full((1, 48, 48), 77, dtype=torch.uint8)).abs().max() == 0


def test_landmarks_lose_place_and_size_but_not_turn(rng):
    face = torch.from_numpy(rng.uniform(0, 47, (2, 68, 2))).float()
    vector = landmark_vector(face)
    assert vector.shape == (2, 136)
    torch.testing.assert_close(landmark_vector(2.5 * face + torch.tensor([7.0, -3.0])), vector, atol=1e-5, rtol=0)
    assert (landmark_vector(face.flip(-1)) - vector).abs().max() > 0.1


def test_hog_keeps_its_stored_values(rng):
    stored = torch.from_numpy(rng.random((2, 900)).astype(np.float16))
    assert (prepare({"hog": stored}, ("hog",))["hog"] == stored.float()).all()
