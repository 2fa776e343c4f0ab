"""A course of two small exercises, as ``exercise dev new`` makes them."""

import pytest

from scratchlv.exercises import template
from scratchlv.exercises.course import open_course


@pytest.fixture(autouse=True)
def no_cache_of_the_users(tmp_path, monkeypatch):
    """Where zips are unpacked to."""
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def course_folder(tmp_path):
    folder = tmp_path / "course"
    folder.mkdir()
    template.make("near", folder)
    template.make("far", folder)
    toml = folder / "far" / "exercise.toml"
    toml.write_text(toml.read_text("utf-8").replace("needs = []", 'needs = ["near"]'), "utf-8")
    return folder


@pytest.fixture
def small_course(course_folder):
    return open_course(course_folder)
