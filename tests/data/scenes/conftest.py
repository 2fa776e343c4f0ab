"""Scenes for tests that look at many."""

import pytest

from scratchlv.data import scenes as S

from .some import some


@pytest.fixture(scope="module")
def many() -> list[S.Scene]:
    return [s for split in S.SPLITS for s in some(split)]
