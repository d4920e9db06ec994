"""FER+ through the pipeline: files as people have them, with rendered faces, to a network trained towards votes."""

import json

import numpy as np
import pandas as pd
import pytest

from mmfer.config import AugmentParams, CleanParams, EvaluateParams, ExtractParams, FerplusSource, TrainParams
from mmfer.data.download import write_raw
from mmfer.data.faceset import open_faceset
from mmfer.data.sources.ferplus import CLASSES, COLUMNS
from mmfer.data.votes import votes_of
from mmfer.face.augment import write_augmented
from mmfer.face.clean import write_clean
from mmfer.face.extract import write_features
from mmfer.face.prepare import stored_rows
from mmfer.testing.evaluate import evaluate, write_metrics
from mmfer.testing.tracked import tracked_figures
from mmfer.testing.votes import vote_figures
from mmfer.training.models import load_model
from mmfer.training.train import train_all
from tests.data.sources.test_fer2013 import write_csv
from tests.faces import FACES, rendered_faces

BLOCK = {"kind": "compact", "channels": [8, 16], "blocks": 1, "landmarks_hidden": [16], "hog_hidden": [16]}
PARTS = ["Training"] * 24 + ["PublicTest"] * 9 + ["PrivateTest"] * 9
LEFT_OUT = 41  # a row of PrivateTest without a majority
COPY = 40  # a row of PrivateTest whose image stands in Training too, as row 0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """fer2013.csv of 42 rendered faces, and fer2013new.csv: six or seven votes for one class, the rest for the next."""
    folder, images = tmp_path_factory.mktemp("files"), rendered_faces()[0][:FACES].copy()
    images[0] = images[COPY]
    votes = np.zeros((FACES, 10), dtype=int)
    for row in range(FACES):
        votes[row, row % 8], votes[row, (row + 1) % 8] = 6 + row % 2, 4 - row % 2
    votes[LEFT_OUT, [LEFT_OUT % 8, (LEFT_OUT + 1) % 8]] = 5
    write_csv(folder / "fer2013.csv", [(0, image, part) for image, part in zip(images, PARTS, strict=True)])
    table = pd.DataFrame(votes, columns=[*COLUMNS[:-1], "NF"])
    table.insert(0, "Image name", "a.png")
    table.insert(0, "Usage", PARTS)
    table.to_csv(folder / "fer2013new.csv", index=False)
    return FerplusSource(path=str(folder)), votes


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    """The stages from download to train by their functions -> the data folder, and what the download counted."""
    root = tmp_path_factory.mktemp("plus")
    data = root / "data/plus"
    counts, _ = write_raw(data / "raw", "plus", source[0], 1)
    write_clean(data / "raw", data / "clean", CleanParams(threshold=-1.0), 1)
    write_augmented(data / "raw", data / "clean", data / "augmented", AugmentParams(copies=2), 1)
    write_features(data / "augmented", data / "clean", data / "features", ExtractParams(), 1)
    params = TrainParams(labels="votes", epochs=2, batch_size=16, device="cpu", precision="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        train_all(data, ("net", BLOCK), params, lambda *_: None)
    return data, counts


def shares_of(index, votes):
    """The shares of the files' votes for rows of an index."""
    rows = index["source"].str.removeprefix("fer2013.csv:").astype(int) - 2
    return votes[rows, : len(CLASSES)] / 10


def test_every_face_and_copy_carries_its_votes_and_a_copy_of_a_test_face_trains_nothing(source, trained):
    data, counts = trained
    assert (counts["images"], counts["duplicate_of_test"], counts["left_out_of_train"]) == (FACES - 1, 1, 1)
    for name in ("raw", "clean", "augmented", "features"):
        faces = open_faceset(data / name)
        np.testing.assert_allclose(votes_of(faces.index, faces.classes), shares_of(faces.index, source[1]), atol=1e-6)
    index = open_faceset(data / "features").index
    assert not index.loc[index["source"] == "fer2013.csv:2", "trainable"].any()
    assert (index["copy"] == 1).any()


def test_the_network_is_trained_and_validated_towards_the_votes_and_its_folder_says_so(source, trained):
    folder = trained[0] / "models/net/seed0"
    facts, history = json.loads((folder / "model.json").read_text()), pd.read_csv(folder / "history.csv")
    assert facts["train"]["labels"] == "votes"
    assert "they come from outside FER2013" in json.dumps(facts["made_by"])
    faces, values = open_faceset(trained[0] / "augmented"), open_faceset(trained[0] / "features")
    rows = np.flatnonzero((faces.index["split"] == "val") & (faces.index["copy"] == 0))
    stored = stored_rows(faces, values, rows)
    figures = vote_figures(load_model(folder).predict(stored), shares_of(faces.index.iloc[rows], source[1]))
    assert history["val_loss"].iloc[-1] == pytest.approx(figures["cross_entropy"], abs=1e-3)


def test_the_evaluation_stands_beside_the_votes_of_the_test_faces(source, trained, tmp_path):
    result = evaluate(trained[0], "net", EvaluateParams(runs=2, bootstrap=100))
    votes = shares_of(open_faceset(trained[0] / "raw").index.query("split == 'test'"), source[1])
    assert len(votes) == 8
    expected = vote_figures(result.predictions.runs.mean(axis=0), votes)
    assert result.details["votes"] == {"averaged": expected, "plain": vote_figures(result.predictions.runs[0], votes)}
    write_metrics(result, tmp_path)
    figures = json.loads((tmp_path / "evaluate.json").read_text())
    assert {name: figures[name] for name in ("cross_entropy", "kl", "agreement")}.items() <= expected.items()
    assert expected.items() <= tracked_figures(result.details)["test"].items()
    said = (
        "tested on PrivateTest, labels of FER+ from outside FER2013; trained towards the raters' votes; no epoch chosen"
    )
    assert result.details["protocol"] == said
