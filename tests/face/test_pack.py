"""One file for a data set: what is opened is what was packed, to the bit; what does not fit is refused in one line."""

import hashlib
import io
import json
import lzma
import resource
import shutil
import sys
import tracemalloc
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from mmfer.cli import app
from mmfer.config import HideParams
from mmfer.data import dct
from mmfer.data.faceset import new_faceset, new_index, open_faceset, write_array, write_index
from mmfer.errors import MmferError
from mmfer.face import occlude, shape_predictor
from mmfer.face.hide import write_hidden
from mmfer.face.pack import read_head, read_hidden, read_pack, write_pack
from tests.faces import rendered_faces, write_faces

SIDE = 48


@pytest.fixture(scope="module")
def packed(face_data, tmp_path_factory):
    """The pack of the rendered faces and their noise. Only to read."""
    target = tmp_path_factory.mktemp("pack") / "faces.pack"
    write_pack(face_data, target)
    return target


@pytest.fixture
def few_bytes():
    """No file may grow beyond 20,000 bytes: what a full disk does to a writer."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_data(data, images, landmarks, transforms, split="train", **columns):
    """Raw and clean FaceSets of any arrays."""
    names = [f"{row}" for row in range(len(images))]
    index, origin = (
        new_index(names, [0] * len(images), split, **columns),
        {"stage": "download", "params": {}, "notes": ["ä"]},
    )
    with new_faceset(data / "raw", "d", ["a", "b"], index, origin) as folder:
        write_array(folder, "images", images)
    clean = index.assign(face_score=np.float32("nan"), kept=False)
    with new_faceset(
        data / "clean", "d", ["a", "b"], clean, {"stage": "clean", "params": {}, "from": origin}
    ) as folder:
        write_array(folder, "landmarks", landmarks)
        write_array(folder, "transforms", transforms)
        write_array(folder, "visible", landmarks[:, :5, 0])


def assert_equal_data(one, other):
    for part in ("raw", "clean"):
        a, b = open_faceset(one / part), open_faceset(other / part)
        pd.testing.assert_frame_equal(a.index, b.index)
        assert (one / part / "faceset.json").read_bytes() == (other / part / "faceset.json").read_bytes()
        assert a.arrays.keys() == b.arrays.keys()
        for name in a.arrays:  # as bytes: NaN is NaN, -0.0 is not 0.0
            assert (one / part / f"{name}.npy").read_bytes() == (other / part / f"{name}.npy").read_bytes()


def changed_pack(pack, target, change):
    """A copy of a pack, as valid a zip, whose parts {name: bytes} went through `change`."""
    with zipfile.ZipFile(pack) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target


def as_jpeg(images, quality):
    """What a JPEG of each image shows."""
    coded = (cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for image in images)
    return np.stack([cv2.imdecode(code, cv2.IMREAD_GRAYSCALE) for code in coded])


def code_and_back(images, table):
    code = dct.encode((images[i : i + dct.CHUNK] for i in range(0, len(images), dct.CHUNK)), table)
    return code, np.concatenate(list(dct.decode(code, len(images), images.shape[1], table)))


# What is opened is what was packed.


def test_rendered_faces_come_back_to_the_bit(face_data, packed, tmp_path):
    head = read_pack(packed, tmp_path)
    assert_equal_data(face_data, tmp_path)
    assert (head.dataset, head.rows, sum(head.splits.values())) == ("faces", 48, 48)


def test_a_pack_replaces_what_was_there_and_equal_data_make_equal_packs(face_data, packed, tmp_path):
    write_data(tmp_path, *noise(3))
    read_pack(packed, tmp_path)
    assert_equal_data(face_data, tmp_path)
    write_pack(tmp_path, tmp_path / "again.pack")
    assert (tmp_path / "again.pack").read_bytes() == packed.read_bytes()


def noise(rows, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (rows, SIDE, SIDE), dtype=np.uint8)
    landmarks = rng.normal(20, 9, (rows, 68, 2)).astype(np.float32)
    landmarks[rng.random(rows) < 0.3] = np.nan
    return images, landmarks, rng.normal(size=(rows, 2, 3)).astype(np.float32)


texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
ODD = [np.nan, np.inf, -0.0, 1e-45, 0.3, -25.25]


@settings(max_examples=15)
@given(st.data())
def test_any_data_come_back_to_the_bit(tmp_path_factory, data):
    tmp_path, rows = tmp_path_factory.mktemp("any"), data.draw(st.integers(1, 5))
    images, landmarks, transforms = noise(rows, data.draw(st.integers(0, 99)))
    images[0] = data.draw(st.sampled_from([0, 1, 128, 255]))
    images[-1, :8, :8] = data.draw(arrays(np.uint8, (8, 8)))
    landmarks[0, 0], transforms[0, 0, 0] = data.draw(st.sampled_from(ODD)), data.draw(st.sampled_from(ODD))
    columns = {
        "split": np.array(data.draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=rows, max_size=rows))),
        "subject": data.draw(st.lists(texts, min_size=rows, max_size=rows)),
        "frame": data.draw(st.lists(st.one_of(st.none(), st.integers(0, 2**31 - 1)), min_size=rows, max_size=rows)),
        "digest": data.draw(st.lists(texts, min_size=rows, max_size=rows)),
    }
    write_data(tmp_path / "data", images, landmarks, transforms, **columns)
    write_pack(tmp_path / "data", tmp_path / "p")
    read_pack(tmp_path / "p", tmp_path / "out")
    assert_equal_data(tmp_path / "data", tmp_path / "out")


def test_faces_of_more_than_a_chunk_come_back_at_once_the_same(rng):
    images = np.repeat(np.arange(2 * dct.CHUNK + 1, dtype=np.uint8), SIDE * SIDE).reshape(-1, SIDE, SIDE)
    images[::9] = rng.integers(0, 256, images[::9].shape, dtype=np.uint8)
    assert (code_and_back(images, dct.jpeg_table(95))[1] == images).all()


@pytest.mark.parametrize("quality", [50, 95, 100])
def test_any_table_codes_any_face_exactly(quality, rng):
    images = np.concatenate([noise(2)[0], rendered_faces()[0][:4], as_jpeg(rendered_faces()[0][:4], 70)])
    images[0] = rng.choice([0, 255], (SIDE, SIDE))  # the largest coefficients that there are
    assert (code_and_back(images, dct.jpeg_table(quality))[1] == images).all()


def test_constant_faces_take_more_than_a_bit_each():  # by which a head that claims too many is refused
    images = np.zeros((500, SIDE, SIDE), np.uint8)
    assert 500 < 8 * len(code_and_back(images, dct.jpeg_table(100))[0]) < 500 * 100


# JPEGs are recognised: that is what makes packs small.


def test_the_picture_of_coefficients_is_the_one_that_a_jpeg_decoder_shows():
    """Steps of 5 and more at a quality of 75: no rounding hides a coefficient. Bright: none is clipped."""
    faces, table, shown = as_jpeg(rendered_faces()[0] // 2 + 64, 75), dct.jpeg_table(75), np.empty((8, 8), np.int64)
    blocks = dct._blocks(faces)
    for coefficients, block in zip(dct._nearest(blocks, table), blocks.reshape(-1, 8, 8), strict=True):
        dct._show(coefficients, table, shown)
        assert (shown == block).all()


@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_the_table_of_the_jpegs_is_found(quality):
    assert (dct.choose_table(as_jpeg(rendered_faces()[0], quality)) == dct.jpeg_table(quality)).all()


def test_jpegs_take_less_than_their_files_without_heads():
    faces = as_jpeg(rendered_faces()[0], 95)
    heads = len(cv2.imencode(".jpg", np.full((SIDE, SIDE), 128, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    files = sum(len(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]) - heads for face in faces)
    assert len(dct.encode([faces], dct.jpeg_table(95))) < files


# What does not fit is refused in one line, and nothing half-written is left.


def refused(pack, tmp_path, message):
    with pytest.raises(MmferError, match=message) as error:
        read_pack(pack, tmp_path / "data")
    assert "\n" not in str(error.value)
    assert not [*(tmp_path / "data").glob("*"), *(tmp_path / "data").glob(".*")]


def test_a_file_that_is_not_there_or_no_pack_is_named(tmp_path):
    refused(tmp_path / "p", tmp_path, "/p: not found; `mmfer pack` writes one")
    for content in (b"", b"no pack at all"):
        (tmp_path / "p").write_bytes(content)
        refused(tmp_path / "p", tmp_path, "/p: not a pack of mmfer .*; copy it again, or make it with `mmfer pack`")


def test_a_zip_of_other_things_is_no_pack(tmp_path):
    with zipfile.ZipFile(tmp_path / "p", "w") as archive:
        archive.writestr("photo.png", b"")
    refused(tmp_path / "p", tmp_path, "There is no item named 'pack.json'")


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_pack_that_is_cut_short_says_so(packed, tmp_path, share):
    content = packed.read_bytes()
    (tmp_path / "p").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "p", tmp_path, "/p: damaged or cut short")


@pytest.mark.parametrize("part", ["pack.json", "index.parquet", "images.dct", "landmarks", "transforms", "visible"])
def test_a_flipped_byte_is_noticed_and_its_part_named(packed, tmp_path, part):
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo(part)
    content = bytearray(packed.read_bytes())
    content[info.header_offset + 30 + len(part) + info.file_size // 2] ^= 1
    (tmp_path / "p").write_bytes(content)
    refused(tmp_path / "p", tmp_path, f"damaged .*'{part}'")


@settings(max_examples=40)
@given(st.data())
def test_a_byte_flipped_anywhere_is_noticed_or_changes_nothing(packed, face_data, tmp_path_factory, data):
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        structure = [
            *(info.header_offset + i for info in archive.infolist() for i in range(30 + len(info.filename))),
            *range(archive.start_dir, len(content)),
        ]
    content[data.draw(st.sampled_from(structure))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("flip")
    (folder / "p").write_bytes(content)
    try:
        read_pack(folder / "p", folder / "data")
    except MmferError:
        assert not (folder / "data").exists()
    else:
        assert_equal_data(face_data, folder / "data")


def spoil(part, change):
    """Change a part, its checksum in the zip made new, so that only digests can tell."""

    def spoiled(parts):
        parts[part] = change(parts[part])

    return spoiled


def flip(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("index.parquet", flip, "index.parquet is not what was packed"),
        ("images.dct", flip, "images is not what was packed|images.dct: the code .* ends within"),
        (
            "images.dct",
            lambda code: code[: len(code) // 2],
            "the code of 48 faces ends within the first 48",
        ),
        ("landmarks", lambda code: code[:-900] + flip(code[-900:]), "landmarks(: the code .* ends| is not what)"),
        ("landmarks", lambda code: code[:-400], "landmarks: the code of 48 faces ends within the first 48"),
        ("landmarks", lambda code: code[:400], "landmarks: no code of 136 columns"),
        ("visible", flip, r"visible: damaged \(Corrupt input data\)|visible is not what"),
        ("transforms", lambda code: code[:-40], "transforms"),
        ("pack.json", lambda head: b"[]", "a pack of format None, this mmfer opens 3; pack and open with one version"),
        ("pack.json", lambda head: b"\xff{", "a pack of format None"),
        ("pack.json", lambda head: b"[" * 200_000, "a pack of format None"),
        (
            "pack.json",
            lambda head: head.replace(b'"format": 3', b'"format": 1'),
            "a pack of format 1, this mmfer opens 3",
        ),
        (
            "pack.json",
            lambda head: head.replace(b'"rows"', b'"row"'),
            "row: unknown key; did you mean rows",
        ),
        ("pack.json", lambda head: head.replace(b'"rows": 48', b'"rows": 10000'), "claims 10,000 faces"),
        ("pack.json", lambda head: head.replace(b'"frame"', b'"fraem"'), "columns or an origin that are not there"),
        ("pack.json", lambda head: head.replace(b'"from"', b'"form"'), "columns or an origin that are not there"),
    ],
)
def test_a_part_that_is_not_what_was_packed_is_named(packed, tmp_path, part, change, message):
    refused(changed_pack(packed, tmp_path / "p", spoil(part, change)), tmp_path, message)


def other_index(change):
    """Change the index and its digest too, as only who means harm does."""

    def changed(parts):
        head = json.loads(parts["pack.json"])
        parts["index.parquet"] = change(parts["index.parquet"])
        head["sha256"]["index.parquet"] = hashlib.sha256(parts["index.parquet"]).hexdigest()
        parts["pack.json"] = json.dumps(head).encode()

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"PAR1 no table PAR1",
        *(
            lambda content, new=new: pd.read_parquet(io.BytesIO(content)).assign(**new).to_parquet(index=False)
            for new in ({"kept": "x"}, {"kept": None}, {"kept": 7}, {"label": "x"}, {"label": np.nan})
        ),
    ],
)
def test_an_index_that_is_no_table_of_faces_is_refused_although_its_digest_is_right(packed, tmp_path, change):
    refused(changed_pack(packed, tmp_path / "p", other_index(change)), tmp_path, "index.parquet: (damaged|columns)")


def claim(rows):
    """Let head and index agree on so many rows; the index is few bytes."""

    def change(parts):
        index = pd.read_parquet(io.BytesIO(parts["index.parquet"])).iloc[:1]
        index = index.loc[np.zeros(rows, int)] if rows < 1000 else pd.DataFrame({"label": np.zeros(rows, np.int8)})
        parts["index.parquet"] = index.to_parquet(index=False)
        head = json.loads(parts["pack.json"])
        head["rows"], head["sha256"]["index.parquet"] = rows, hashlib.sha256(parts["index.parquet"]).hexdigest()
        parts["pack.json"] = json.dumps(head).encode()

    return change


@pytest.fixture
def memory():
    """Starts to count; the most bytes that Python took since."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_a_head_that_claims_more_than_the_file_holds_takes_no_memory(packed, tmp_path, memory):
    pack = changed_pack(packed, tmp_path / "p", claim(30_000_000))
    tracemalloc.reset_peak()
    refused(pack, tmp_path, "claims 30,000,000 faces, which the file does not hold")
    assert memory() < 10 * pack.stat().st_size


def test_arrays_of_fewer_faces_than_the_head_claims_are_refused(packed, tmp_path):
    pack = changed_pack(packed, tmp_path / "p", claim(49))
    refused(pack, tmp_path, "landmarks: the code of 49 faces ends|landmarks is not what was packed")


def test_a_zip_that_is_compressed_or_whose_parts_are_longer_than_itself_is_refused(packed, tmp_path):
    with zipfile.ZipFile(tmp_path / "p", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack.json", bytes(10**6))
    refused(tmp_path / "p", tmp_path, "pack.json is not stored as it is")
    with zipfile.ZipFile(tmp_path / "p", "w") as archive:
        archive.writestr("pack.json", b"{}")
        archive.infolist()[0].file_size = archive.infolist()[0].compress_size = 2**31
    refused(tmp_path / "p", tmp_path, "its parts are longer than the file")


def test_lzma_that_unfolds_without_end_is_cut_at_the_size_that_the_rows_take(packed, tmp_path, memory):
    pack = changed_pack(packed, tmp_path / "p", spoil("visible", lambda _: lzma.compress(bytes(3 * 10**7))))
    tracemalloc.reset_peak()
    refused(pack, tmp_path, "visible is not what was packed")
    assert memory() < 10**7


def test_a_full_disk_leaves_no_half_pack(face_data, tmp_path, few_bytes):
    with pytest.raises(OSError, match="File too large"):
        write_pack(face_data, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_data(packed, tmp_path, few_bytes):
    with pytest.raises(OSError, match="File too large"):
        read_pack(packed, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_landmarks_of_other_faces_are_not_packed(face_data, tmp_path):
    for part in ("raw", "clean"):
        shutil.copytree(face_data / part, tmp_path / part)
    write_data(tmp_path / "other", *noise(48))
    shutil.rmtree(tmp_path / "raw")
    shutil.copytree(tmp_path / "other" / "raw", tmp_path / "raw")
    with pytest.raises(MmferError, match=r"clean: not made of .*/raw as it is now; run the stage that makes it"):
        write_pack(tmp_path, tmp_path / "p")
    index = open_faceset(tmp_path / "clean").index
    shutil.copytree(face_data / "raw", tmp_path / "raw", dirs_exist_ok=True)
    write_index(tmp_path / "clean", index[::-1])
    with pytest.raises(MmferError, match=r"clean: its index is not that of .*/raw; run the stage clean again"):
        write_pack(tmp_path, tmp_path / "p")
    assert not (tmp_path / "p").exists()


# Hidden faces are painted again.


@pytest.fixture(scope="module")
def hidden_data(tmp_path_factory):
    """Rendered faces, two hidden variants of each that trains, and their pack. Only to read."""
    folder = write_faces(tmp_path_factory.mktemp("hidden"))
    write_hidden(folder / "raw", folder / "clean", folder / "hidden", HideParams(variants=2, seed=3), 1)
    write_pack(folder, folder / "p")
    return folder


@pytest.fixture
def opened(hidden_data, tmp_path):
    """A folder with raw and clean of that pack."""
    read_pack(hidden_data / "p", tmp_path / "data")
    return tmp_path / "data"


def same_files(one, other):
    assert {file.name for file in one.iterdir()} == {file.name for file in other.iterdir()}
    for file in one.glob("*.npy"):
        assert file.read_bytes() == (other / file.name).read_bytes(), file
    assert (one / "faceset.json").read_bytes() == (other / "faceset.json").read_bytes()
    pd.testing.assert_frame_equal(open_faceset(one).index, open_faceset(other).index)


@pytest.mark.parametrize("workers", [1, 2])
def test_hidden_faces_come_back_to_the_bit_without_a_detector(hidden_data, opened, workers, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr(shape_predictor, "model_file", lambda: pytest.fail("the landmark model was looked for"))
    found = read_hidden(hidden_data / "p", opened, workers)
    assert len(found) == read_head(hidden_data / "p").hidden.rows > 0
    same_files(hidden_data / "hidden", opened / "hidden")


def test_pixels_of_hidden_faces_are_not_in_the_pack(hidden_data, packed):
    with zipfile.ZipFile(hidden_data / "p") as archive:
        hidden = sum(info.file_size for info in archive.infolist() if info.filename.startswith("hidden/"))
    assert 0 < hidden < 0.25 * (hidden_data / "hidden" / "images.npy").stat().st_size


def refused_hidden(pack, data, message):
    with pytest.raises(MmferError, match=message) as error:
        read_hidden(pack, data, 1)
    assert "\n" not in str(error.value)
    assert {file.name for file in data.iterdir()} == {"raw", "clean"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("hidden/transforms", "hidden/transforms(: damaged| is not what was packed)"),
        ("hidden/visible", "hidden/visible(: damaged| is not what was packed)"),
        ("hidden/scores", "hidden/scores: damaged|painted otherwise|hidden/transforms is not"),
    ],
)
def test_a_damaged_part_of_hidden_faces_is_refused(hidden_data, opened, tmp_path, part, message):
    refused_hidden(changed_pack(hidden_data / "p", tmp_path / "p", spoil(part, flip)), opened, message)


def test_damaged_landmarks_of_hidden_faces_are_refused(hidden_data, opened, tmp_path):
    late = spoil("hidden/landmarks", lambda code: code[:-900] + flip(code[-900:]))
    refused_hidden(changed_pack(hidden_data / "p", tmp_path / "p", late), opened, "hidden/landmarks(: the| is not)")


def test_a_head_that_claims_other_hidden_faces_is_refused(hidden_data, opened, tmp_path):
    more = spoil("pack.json", lambda head: head.replace(b'"variants": 2', b'"variants": 3'))
    refused_hidden(changed_pack(hidden_data / "p", tmp_path / "p", more), opened, r"claims \d+ hidden faces instead of")


def test_hidden_faces_that_are_painted_otherwise_are_refused_with_the_versions(hidden_data, opened, monkeypatch):
    monkeypatch.setitem(occlude.SURFACES, "grey", occlude._shaded)
    refused_hidden(hidden_data / "p", opened, "are painted otherwise here, by {'numpy': .*; install those versions, or")


def test_a_pack_without_hidden_faces_says_so(packed, tmp_path):
    read_pack(packed, tmp_path / "data")
    refused_hidden(packed, tmp_path / "data", "has no hidden faces; make them with the stage hide")


def test_hidden_faces_of_others_are_not_packed(hidden_data, tmp_path):
    data = shutil.copytree(hidden_data, tmp_path / "data")
    write_index(data / "hidden", open_faceset(data / "hidden").index[::-1])
    with pytest.raises(
        MmferError, match=r"hidden: not the variants of the training faces of .*; run the stage hide again"
    ):
        write_pack(data, tmp_path / "p")
    assert not (tmp_path / "p").exists()


# The command.


@pytest.fixture
def mmfer_pack(face_data, tmp_path, monkeypatch):
    """Runs `mmfer pack` where params.yaml names `synthetic` and data/ holds the rendered faces under this name."""
    shutil.copy("params.yaml", tmp_path)
    for part in ("raw", "clean"):
        shutil.copytree(face_data / part, tmp_path / "data" / "synthetic" / part)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["pack", *arguments])


def test_the_command_writes_a_file_of_the_data_sets_name_and_says_what_it_holds(mmfer_pack, packed, tmp_path):
    done = mmfer_pack("synthetic")
    assert done.exit_code == 0, done.exception
    size = packed.stat().st_size / 2**20
    splits = "30 train, 7 val, 11 test"
    expected = f"synthetic.pack: 48 faces ({splits}) with landmarks and alignments, {size:.1f} MiB\n"
    assert done.output == expected
    assert (tmp_path / "synthetic.pack").read_bytes() == packed.read_bytes()


def test_the_command_refuses_what_params_does_not_name_or_is_not_cleaned_yet(mmfer_pack, tmp_path):
    assert "datasets.synthetc: not there; did you mean synthetic" in str(mmfer_pack("synthetc").exception)
    shutil.rmtree(tmp_path / "data/synthetic/clean")
    message = str(mmfer_pack("synthetic", "out/faces.pack").exception)
    assert "data/synthetic/clean/index.parquet: not found; rebuild it with `dvc repro`" in message
    assert not (tmp_path / "out").exists()
