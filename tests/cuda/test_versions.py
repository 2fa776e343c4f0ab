"""Which version of a room's kernels runs."""

from scratchlv.cuda.versions import use_version, version


def test_a_version_is_the_last_one_unless_another_is_asked_for():
    versions = {1: "", 2: "", 3: ""}
    assert version(versions) == 3
    with use_version(2):
        assert version(versions) == 2
        with use_version(9):
            assert version(versions) == 3
    assert version(versions) == 3
