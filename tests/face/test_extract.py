"""Features of rendered faces against the renderer's landmarks and scikit-image's HOG."""

import numpy as np
from skimage.feature import hog as skimage_hog

from mmfer.data.faceset import open_faceset
from tests.faces import MIRRORED, rendered_faces


def test_landmarks_lie_on_the_copies_where_the_renderers_were_moved_to(face_data):
    features, augmented = open_faceset(face_data / "features"), open_faceset(face_data / "augmented")
    truth, parents = rendered_faces()[1], features.index["parent"].to_numpy()
    faces = np.flatnonzero(parents < len(truth))
    mirrored = np.linalg.det(augmented.transforms[:, :, :2]) < 0
    assert 0.2 < mirrored[faces].mean() < 0.6
    for row in faces:
        matrix = augmented.transforms[row]
        expected = truth[parents[row]] @ matrix[:, :2].T + matrix[:, 2]
        expected = expected[MIRRORED] if mirrored[row] else expected
        assert np.linalg.norm(features.landmarks[row] - expected, axis=1).mean() < 2.5


def test_eyes_and_nose_of_plain_faces_are_where_the_alignment_puts_them(face_data):
    features, augmented = open_faceset(face_data / "features"), open_faceset(face_data / "augmented")
    plain = ((features.index["copy"] == 0) & features.index["kept"]).to_numpy()
    parents = features.index["parent"].to_numpy()[plain]
    matrices = augmented.transforms[plain]
    truth = rendered_faces()[1][parents] @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    places = np.array([[14.5, 18], [32.5, 18], [23.5, 18 + 0.73 * 18]])
    for points, exact in ((features.landmarks[plain], 1e-3), (truth, 1.5)):
        three = np.stack([points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1), points[:, 33]], axis=1)
        assert np.abs(three.mean(axis=1) - places.mean(axis=0)).max() < exact  # as least squares have it
        np.testing.assert_allclose(three.mean(axis=0), places, atol=0.9)
        assert np.abs(three[:, 0, 1] - three[:, 1, 1]).max() < 2  # level


def test_hog_is_that_of_scikit_image_on_the_stored_images(face_data):
    features, augmented = open_faceset(face_data / "features"), open_faceset(face_data / "augmented")
    assert features.hog.shape == (len(features), 900)
    for row in range(0, len(features), 7):
        expected = skimage_hog(augmented.images[row], 9, (8, 8), (2, 2), block_norm="L2-Hys")
        np.testing.assert_allclose(features.hog[row].astype(np.float32), expected, atol=1e-3)  # float16
