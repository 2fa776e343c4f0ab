"""Picture files as models take them."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.tasks import pictures
from scratchlv.training.progress import Progress
from scratchlv.vision import features


@pytest.fixture
def paths(tmp_path):
    made = [tmp_path / "wide.png", tmp_path / "tall.png"]
    for path, shape in zip(made, ((40, 90, 3), (90, 30, 3)), strict=True):
        Image.fromarray(np.full(shape, 77, np.uint8)).save(path)
    return made


def test_folders_hold_pictures_in_order_of_name_and_other_files(paths, tmp_path):
    (tmp_path / "notes.txt").touch()
    assert pictures.all_pictures([paths[0], tmp_path]) == [paths[0], *sorted(paths)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.png").touch()
    with pytest.raises(UserError, match="empty is a folder without pictures"):
        pictures.all_pictures([tmp_path / "empty"])
    assert pictures.all_pictures([tmp_path / "nowhere.png"]) == [tmp_path / "nowhere.png"]  # who opens it will say so


def test_for_a_conv_net_they_are_bytes_of_one_size(paths):
    found = pictures.pictures_of(paths, None)
    assert (found.shape, found.dtype) == ((2, 64, 64, 3), np.uint8)
    assert (found == 77).all()


class Mean:
    """The mean colour, as features of one region."""

    name, checksum, size, shape = "mean", "0" * 32, (6, 4), (1, 1, 3)

    def __init__(self, crop=None):
        self.crop = crop

    def features(self, images):
        assert (images.shape[1:], images.dtype) == ((6, 4, 3), np.uint8)
        return images.mean((1, 2), keepdims=True)


def test_for_a_model_of_features_they_go_through_the_network(paths):
    np.testing.assert_allclose(pictures.pictures_of(paths, Mean()), np.full((2, 1, 1, 3), 77))


def test_the_features_of_a_set_come_from_the_cache_with_progress(paths, monkeypatch, tmp_path):
    monkeypatch.setattr(features, "cache_folder", lambda: tmp_path / "cache")
    shown = []
    monkeypatch.setattr(Progress, "update", lambda self, done, **values: shown.append(done))
    found = pictures.features_of(paths, Mean(), show_progress=False)
    np.testing.assert_allclose(np.asarray(found), np.full((2, 1, 1, 3), 77))
    assert shown[-1] == 2
    drawn = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (5, 9, 5)])
    np.testing.assert_allclose(np.asarray(pictures.features_of(drawn, Mean(), False))[:, 0, 0, 0], [5, 9, 5])


def test_what_is_shown_is_what_the_model_sees(tmp_path):
    image = np.zeros((40, 90, 3), np.uint8)
    image[:, 28:62] = 200
    Image.fromarray(image).save(tmp_path / "wide.png")
    assert pictures.as_seen(tmp_path / "wide.png", None).shape == (40, 90, 3)
    assert pictures.as_seen(tmp_path / "wide.png", Mean()).shape == (40, 90, 3)
    seen = pictures.as_seen(tmp_path / "wide.png", Mean(crop=12))
    assert seen.shape == (20, 13, 3)  # 6 x 4 of a picture whose shorter side is 12
    assert (seen == 200).all()
    (features,) = pictures.pictures_of([tmp_path / "wide.png"], Mean(crop=12))
    np.testing.assert_allclose(features, 200, atol=1)


def test_a_mirrored_picture_has_the_features_of_its_mirror_image_in_a_set_of_their_own():
    class Backbone:
        name, checksum, size, crop, shape = "net", "c0ffee", (4, 4), None, (4, 4, 3)

        def features(self, images):
            assert images.flags.c_contiguous
            return images.astype(np.float32)

    mirrored, images = pictures.Mirrored(Backbone()), np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.testing.assert_array_equal(mirrored.features(images), images[:, :, ::-1])
    assert (mirrored.name, mirrored.checksum, mirrored.shape) == ("net-mirrored", "c0ffee", (4, 4, 3))
