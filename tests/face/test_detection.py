"""The detector on rendered faces and on what is none."""

import numpy as np

from mmfer.config import CleanParams
from mmfer.face.detection import find_faces


def test_rendered_faces_are_found_and_any_number_of_workers_finds_the_same(rendered):
    images, _, _ = rendered
    scores, landmarks = find_faces(images, CleanParams(), 1)
    assert np.isfinite(scores).mean() > 0.9
    again = find_faces(images, CleanParams(), 2)
    np.testing.assert_array_equal(again[0], scores)
    np.testing.assert_array_equal(again[1], landmarks)


def test_a_higher_threshold_keeps_fewer(rendered):
    images, _, _ = rendered
    low, high = (find_faces(images[:30], CleanParams(threshold=t), 1)[0] for t in (-0.5, 2.0))
    assert np.isfinite(high).sum() < np.isfinite(low).sum()
