"""What is rejected, and with what it goes on."""

import numpy as np
import pytest

from mmfer.config import CleanParams
from mmfer.data.faceset import digests, new_faceset, new_index, open_faceset, write_array
from mmfer.errors import MmferError
from mmfer.face.clean import kept_shares, write_clean
from tests.faces import FACES, rendered_faces
from tests.tiny import MADE_BY


def test_faces_are_kept_and_aligned_and_noise_is_rejected_with_its_plain_frame(face_data):
    clean = open_faceset(face_data / "clean")
    kept = clean.index["kept"].to_numpy()
    assert kept.tolist() == [True] * FACES + [False] * (len(kept) - FACES)
    assert (clean.index["face_score"][:FACES] >= 0).all()
    assert clean.index["face_score"][FACES:].isna().all()
    assert (clean.transforms[FACES:] == np.eye(2, 3)).all()
    assert np.isfinite(clean.landmarks).all()
    truth = rendered_faces()[1]
    assert np.linalg.norm(clean.landmarks[:FACES] - truth, axis=2).mean() < 1.1
    # What turns the eyes level is the inverse of how the renderer turned the head.
    across = truth[:, 42:48].mean(axis=1) - truth[:, 36:42].mean(axis=1)
    turn = np.arctan2(clean.transforms[:FACES, 1, 0], clean.transforms[:FACES, 0, 0])
    assert np.degrees(np.arctan2(across[:, 1], across[:, 0])).std() > 4
    assert np.abs(np.degrees(turn + np.arctan2(across[:, 1], across[:, 0]))).max() < 5


def test_without_alignment_every_face_keeps_its_frame(face_data, tmp_path):
    clean = write_clean(face_data / "raw", tmp_path / "clean", CleanParams(align=False), 1)
    assert (clean.transforms == np.eye(2, 3)).all()
    assert clean.index["kept"].sum() == FACES


def test_shares_of_kept_images_are_counts_by_split_and_class(face_data):
    shares = kept_shares(open_faceset(face_data / "clean")).set_index(["split", "class"])
    raw = open_faceset(face_data / "raw").index
    for (split, name), row in shares.iterrows():
        here = (raw["split"] == split) & (raw["label"] == ["happy", "surprise", "neutral"].index(name))
        assert row["images"] == here.sum()
        assert row["kept"] == pytest.approx(here[:FACES].sum() / here.sum(), abs=1e-4)
    assert len(shares) == 9


def test_a_threshold_that_keeps_no_face_of_a_split_is_refused(tmp_path):
    images = rendered_faces()[0][FACES - 5 : FACES + 5]
    index = new_index([str(i) for i in range(10)], [0] * 10, np.repeat(["train", "test"], 5), digest=digests(images))
    with new_faceset(tmp_path / "raw", "d", ["a"], index, MADE_BY) as folder:
        write_array(folder, "images", images)
    with pytest.raises(MmferError, match=r"clean\.threshold: 0\.0 keeps no face of the test images; lower it"):
        write_clean(tmp_path / "raw", tmp_path / "clean", CleanParams(), 1)
    assert not (tmp_path / "clean").exists()
