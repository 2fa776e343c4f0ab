"""Picture files as models take them."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.tasks import pictures
from scratchlv.training.progress import Progress
from scratchlv.vision import efficientnet_lite, features


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


class Net:
    """Stands in for EfficientNet-Lite0."""

    @classmethod
    def load(cls):
        return cls()

    def features(self, images):
        assert (images.shape, images.dtype) == ((2, 224, 224, 3), np.uint8)
        return np.ones((2, 7, 7, 320), np.float32)


def test_for_a_model_of_features_they_go_through_the_network(paths, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "EfficientNetLite0", Net)
    assert pictures.pictures_of(paths, 320).shape == (2, 7, 7, 320)


def test_the_features_of_a_set_come_from_the_cache_with_progress(paths, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(Progress, "update", lambda self, done, **values: shown.append(done))
    monkeypatch.setattr(efficientnet_lite, "EfficientNetLite0", Net)
    monkeypatch.setattr(features, "extract", lambda paths, net, progress: [progress(k, 2) for k in (1, 2)] and net)
    assert isinstance(pictures.photograph_features(paths, show_progress=False), Net)
    assert shown == [1, 2]


def test_a_mirrored_picture_has_the_features_of_its_mirror_image_in_a_set_of_their_own():
    class Backbone:
        name, checksum, size, crop, shape = "net", "c0ffee", (4, 4), None, (4, 4, 3)

        def features(self, images):
            assert images.flags.c_contiguous
            return images.astype(np.float32)

    mirrored, images = pictures.Mirrored(Backbone()), np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.testing.assert_array_equal(mirrored.features(images), images[:, :, ::-1])
    assert (mirrored.name, mirrored.checksum, mirrored.shape) == ("net-mirrored", "c0ffee", (4, 4, 3))
