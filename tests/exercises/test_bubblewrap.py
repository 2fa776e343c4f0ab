"""What a process in bubblewrap sees, and what it does not."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from scratchlv.exercises import bubblewrap as module
from scratchlv.exercises.bubblewrap import bubblewrap, inner, mounts

here = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap is not installed, or may not be used here")


def run(code, hidden=(), own=(), scratch="/var/tmp", command=()):
    command = [
        *(command or bubblewrap()),
        *mounts(map(str, hidden), map(str, own), str(scratch)),
        sys.executable,
        "-I",
        "-c",
        code,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folders(tmp_path):
    for name in ("hidden", "scratch", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "hidden" / "own").write_text("own")
    return tmp_path


@here
def test_what_is_hidden_is_not_there_but_for_ones_own(folders):
    hidden, scratch = folders / "hidden", folders / "scratch"
    code = f"import os; print(sorted(os.listdir({str(hidden)!r})), open({str(hidden / 'own')!r}).read())"
    assert run(code, [hidden], [hidden / "own"], scratch).stdout == "['own'] own\n"


@here
def test_a_folder_of_the_system_that_is_hidden_is_empty_and_a_file_cannot_be_read(folders):
    file, folder = sysconfig.get_path("stdlib") + "/antigravity.py", sysconfig.get_path("stdlib") + "/email"
    done = run(
        f"import os; print(os.listdir({folder!r})); open({file!r}).read()", [file, folder], (), folders / "scratch"
    )
    assert done.stdout == "[]\n" and "Permission denied" in done.stderr


@here
def test_its_own_folder_alone_can_be_written(folders):
    scratch = folders / "scratch"
    assert run(f"open({str(scratch / 'new')!r}, 'w').write('x')", (), (), scratch).returncode == 0
    assert (scratch / "new").read_text() == "x"
    assert "Read-only" in run("open('/usr/new', 'w')", (), (), scratch).stderr
    run(
        f"import os; os.makedirs({str(folders / 'other')!r}, exist_ok=True); open({str(folders / 'other' / 'new')!r}, 'w')",
        (),
        (),
        scratch,
    )
    assert not (folders / "other" / "new").exists()


@here
def test_there_is_no_network_and_no_other_process(folders):
    processes = "sum(each.isdigit() for each in os.listdir('/proc'))"
    code = f"import os, socket; print([each for _, each in socket.if_nameindex()], {processes})"
    interfaces, processes = run(code, (), (), folders / "scratch").stdout.rsplit(" ", 1)
    assert interfaces == "['lo']" and int(processes) <= 2


@here
def test_the_process_inside_is_found():
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    command = [*bubblewrap(), *mounts((), (), "/var/tmp"), sys.executable, "-I", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        with open(f"/proc/{inner(process.pid)}/cmdline", "rb") as file:
            assert file.read().startswith(sys.executable.encode())
        process.stdin.close()


@here
def test_the_package_is_there_with_its_rooms(folders):
    root = str(Path(module.__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from scratchlv.cuda.sources import headers; print(headers().is_dir())"
    done = run(code, (), (), folders / "scratch")
    assert done.stdout == "True\n", done.stderr


def test_a_process_without_children_is_its_own_inside():
    assert inner(2**22 + 1) == 2**22 + 1


def test_where_it_is_not_installed_there_is_no_command(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert bubblewrap() == ()


def test_where_it_may_not_be_used_there_is_no_command(monkeypatch, tmp_path):
    refuses = tmp_path / "bwrap"
    refuses.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda name: str(refuses))
    assert bubblewrap() == ()
    monkeypatch.setattr(module.shutil, "which", lambda name: os.devnull)
    assert bubblewrap() == ()
