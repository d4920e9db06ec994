"""Training faces with a part hidden: found anew, drawn alike, and the originals of a share of the copies."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from mmfer.config import AugmentParams, CleanParams, ExtractParams, HideParams
from mmfer.data.faceset import open_faceset
from mmfer.errors import MmferError
from mmfer.face.augment import draw_variants, draws, write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.hide import places, variants_of, write_hidden
from mmfer.face.points import PARTS
from mmfer.face.prepare import see
from tests.faces import write_faces

PARAMS = HideParams(variants=3)


BY_YUNET = CleanParams(detector="yunet", threshold=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rendered faces with three variants of each training face, and four copies of it."""
    return hidden_faces(tmp_path_factory.mktemp("hidden"), CleanParams())


def hidden_faces(folder, clean):
    write_faces(folder, clean=clean)
    write_hidden(folder / "raw", folder / "clean", folder / "hidden", PARAMS, 1)
    make(folder, AugmentParams(copies=8, hidden=0.5))
    return folder


def make(folder, augment):
    write_augmented(folder / "raw", folder / "clean", folder / "augmented", augment, 1)
    write_features(folder / "augmented", folder / "clean", folder / "features", ExtractParams(), 1)


def test_each_training_face_has_its_variants_and_no_other_has_any(data):
    clean, hidden = open_faceset(data / "clean"), open_faceset(data / "hidden")
    trained = np.flatnonzero((clean.index["split"] == "train") & clean.index["kept"])
    assert hidden.index["parent"].tolist() == np.repeat(trained, 3).tolist()
    assert hidden.index["variant"].tolist() == [0, 1, 2] * len(trained)
    assert set(hidden.index["split"]) == {"train"}
    np.testing.assert_array_equal(hidden.index["label"], clean.index["label"].iloc[hidden.index["parent"]])
    first, counts = places(hidden, len(clean))
    assert counts.tolist() == [3 if row in trained else 0 for row in range(len(clean))]
    np.testing.assert_array_equal(hidden.index["parent"].to_numpy()[first[trained]], trained)


@pytest.mark.parametrize("params", [CleanParams(), BY_YUNET], ids=["dlib", "yunet"])
def test_variants_are_found_anew_as_any_image_is(data, params, tmp_path):
    data = data if params.detector == "dlib" else hidden_faces(tmp_path, params)
    raw, clean, hidden = (open_faceset(data / name) for name in ("raw", "clean", "hidden"))
    assert (hidden.images != raw.images[hidden.index["parent"]]).any(axis=(1, 2)).all()
    seen, found = see(np.array(hidden.images), params, ExtractParams(), 1)
    np.testing.assert_array_equal(hidden.index["kept"], found)
    assert hidden.index["face_score"].isna().tolist() == (~found).tolist()
    moved = np.einsum("nij,nkj->nki", hidden.transforms[:, :, :2], hidden.landmarks) + hidden.transforms[:, None, :, 2]
    np.testing.assert_allclose(seen["landmarks"], moved, atol=1e-3)
    of_whole = np.abs(hidden.landmarks - clean.landmarks[hidden.index["parent"]]).mean(axis=(1, 2))
    assert np.median(of_whole) > 0.3  # pixels: they are not the landmarks of the whole face
    shares = hidden.index[[f"hidden_{part}" for part in PARTS]].to_numpy()
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (shares.max(axis=1) > 0.3).mean() > 0.5
    of_face = shares.reshape(-1, 3, len(PARTS))
    assert (of_face[:, 0] != of_face[:, 1]).any(axis=1).mean() > 0.8


def test_the_same_bytes_come_out_for_any_number_of_workers_and_another_seed_draws_others(data, tmp_path):
    again = write_hidden(data / "raw", data / "clean", tmp_path / "two", PARAMS, 2)
    other = write_hidden(data / "raw", data / "clean", tmp_path / "seed", HideParams(variants=3, seed=1), 1)
    one = open_faceset(data / "hidden")
    for name in ("images", "landmarks", "transforms", "visible"):
        np.testing.assert_array_equal(again.array(name), one.array(name))
    pd.testing.assert_frame_equal(again.index, one.index)
    assert (other.images != one.images).any(axis=(1, 2)).all()


def test_patches_come_from_faces_of_the_same_fold(tmp_path):
    clean = open_faceset(write_faces(tmp_path, folds=4) / "clean")
    index = variants_of(clean, np.flatnonzero(clean.index["kept"]), PARAMS)
    np.testing.assert_array_equal(clean.index["fold"].iloc[index["other"]], index["fold"])
    assert (index["other"] != index["parent"]).all()
    assert index["other"].nunique() > 10


def test_without_variants_there_are_no_rows_and_no_copies_of_them(data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    none = write_hidden(folder / "raw", folder / "clean", folder / "hidden", HideParams(), 2)
    assert (len(none), none.images.shape) == (0, (0, 48, 48))
    assert list(none.index) == list(open_faceset(data / "hidden").index)
    with pytest.raises(MmferError, match=r"hidden: no variants for augment.hidden: 0.5; raise hide.variants"):
        write_augmented(folder / "raw", folder / "clean", folder / "none", AugmentParams(hidden=0.5), 1)
    with pytest.raises(MmferError, match=r"hidden: no variants"):  # of the copies that were made of three
        write_features(folder / "augmented", folder / "clean", folder / "features", ExtractParams(), 1)


def test_a_share_of_copies_is_drawn_of_variants_evenly_and_copy_0_never():
    n, params = 20_000, AugmentParams(hidden=0.3)
    parents, copies = torch.arange(n) % 1000, torch.arange(n) // 1000
    counts = torch.where(parents < 900, 5, 0)
    variants = draw_variants(parents, copies, counts, params, 7).numpy()
    assert (variants[copies == 0] == -1).all()
    assert (variants[parents >= 900] == -1).all()
    may = variants[(copies > 0) & (parents < 900)]
    assert (may >= 0).mean() == pytest.approx(0.3, abs=0.015)
    assert np.bincount(may[may >= 0], minlength=6)[:5] / (may >= 0).sum() == pytest.approx(0.2, abs=0.02)
    assert may.max() == 4
    assert (draw_variants(parents, copies, counts, AugmentParams(), 7) == -1).all()
    assert (draw_variants(parents, copies, counts, AugmentParams(hidden=1.0), 7)[copies > 0][:800] >= 0).all()
    numbers = draws(parents, copies, 7)  # independent of what moves the copy
    assert abs(np.corrcoef(np.concatenate([numbers.T, [variants >= 0]]))[-1, :13]).max() < 0.05


def test_copies_of_variants_are_made_of_their_image_alignment_and_landmarks(data):
    raw, clean, hidden, augmented, features = (
        open_faceset(data / name) for name in ("raw", "clean", "hidden", "augmented", "features")
    )
    index = augmented.index
    assert (index["variant"][~index["trainable"]] == -1).all()
    of_variant = np.flatnonzero(index["variant"] >= 0)
    assert 0.3 < len(of_variant) / index["trainable"].sum() < 0.6
    first, _ = places(hidden, len(clean))
    for row in of_variant[:40]:
        own = first[index["parent"][row]] + index["variant"][row]
        assert hidden.index["parent"][own] == index["parent"][row]
        moves = (whole(augmented.transforms[row]) @ np.linalg.inv(whole(hidden.transforms[own])))[:2]
        size = np.sqrt(abs(np.linalg.det(moves[:, :2])))
        assert 1 / 1.13 < size < 1.13  # the copy's own motion, which is small, on top of the variant's alignment
        moved = hidden.landmarks[own] @ augmented.transforms[row][:, :2].T + augmented.transforms[row][:, 2]
        assert np.sort(features.landmarks[row], axis=0) == pytest.approx(np.sort(moved, axis=0), abs=1e-3)
    plain = np.flatnonzero(index["trainable"] & (index["variant"] < 0))[:40]
    for row in plain:
        moved = clean.landmarks[index["parent"][row]] @ augmented.transforms[row][:, :2].T
        moved = moved + augmented.transforms[row][:, 2]
        assert np.sort(features.landmarks[row], axis=0) == pytest.approx(np.sort(moved, axis=0), abs=1e-3)
    assert raw.dataset == hidden.dataset


def whole(transform):
    return np.concatenate([transform, [[0, 0, 1]]])


def test_images_of_copies_show_the_hidden_face(data, tmp_path):
    folder = write_faces(tmp_path)
    write_hidden(folder / "raw", folder / "clean", folder / "hidden", PARAMS, 1)
    still = {"mirror": 0.0, "rotate_deg": 0.0, "shift_px": 0.0, "scale": 0.0, "brightness": 0.0, "contrast": 0.0}
    make(folder, AugmentParams(copies=4, hidden=1.0, erase=0.0, **still))
    hidden, augmented = open_faceset(folder / "hidden"), open_faceset(folder / "augmented")
    first, _ = places(hidden, len(open_faceset(folder / "clean")))
    index = augmented.index[augmented.index["copy"] > 0]
    own = first[index["parent"]] + index["variant"].to_numpy()
    seen, _ = see(np.array(hidden.images[own]), CleanParams(), ExtractParams(), 1)
    np.testing.assert_array_equal(augmented.images[index.index], seen["images"])
    features = open_faceset(folder / "features")
    np.testing.assert_allclose(features.landmarks[index.index], seen["landmarks"], atol=1e-3)


def test_copies_of_other_variants_are_refused(data, tmp_path):
    folder = write_faces(tmp_path)
    write_hidden(folder / "raw", folder / "clean", folder / "hidden", PARAMS, 1)
    write_augmented(folder / "raw", folder / "clean", folder / "augmented", AugmentParams(copies=2, hidden=0.5), 1)
    write_hidden(folder / "raw", folder / "clean", folder / "hidden", HideParams(variants=3, seed=4), 1)
    with pytest.raises(MmferError, match=r"augmented: not made of .*hidden as it is now"):
        write_features(folder / "augmented", folder / "clean", folder / "features", ExtractParams(), 1)
    write_clean(folder / "raw", folder / "clean", CleanParams(threshold=-0.5), 1)
    with pytest.raises(MmferError, match=r"hidden: not made of .*clean as it is now"):
        write_augmented(folder / "raw", folder / "clean", folder / "augmented", AugmentParams(hidden=0.5), 1)
