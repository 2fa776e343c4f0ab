"""Where the CUDA C files stand."""

from scratchlv.cuda.sources import headers, sources


def test_every_file_stands_in_a_room_and_no_two_have_the_same_name():
    names = [path.name for path in sources()]
    assert len(names) == len(set(names)) > 15
    assert all((path.parent / "__init__.py").is_file() for path in sources())


def test_the_headers_that_the_files_include_are_there():
    included = {
        line.split('"')[1]
        for path in sources()
        for line in path.read_text("utf-8").splitlines()
        if '#include "' in line
    }
    assert included
    assert included <= {path.name for path in headers().iterdir()}
