"""Settings that all tests share: which of them run, in how many processes, and where public sets of data are."""

import os
import zlib
from pathlib import Path

import pytest

# Read when Numba is imported. Two on every machine, more if asked for: no test depends on its cores, and one thread can be
# compared with two.
os.environ["NUMBA_NUM_THREADS"] = str(max(2, int(os.environ.get("NUMBA_NUM_THREADS", "2"))))
PROCESSES = 8  # at the most: each takes half a gigabyte


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests too (-m slow: them alone)")
    parser.addoption(
        "--share",
        type=share,
        metavar="K/N",
        help="of the tests that would run, the K-th of N shares: 1/3, 2/3 and 3/3 are all",
    )
    parser.addoption(
        "--draws",
        type=int,
        default=10,
        metavar="N",
        help="on how many random draws each operation is compared with PyTorch (tests/peers)",
    )
    parser.addoption(
        "--backend",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where tests/cuda runs kernels and models: on the CPU that plays a GPU, or on the GPU through CuPy",
    )


# --- which tests run, and in how many processes ----------------------------------------------------------------------

LEFT_OUT = pytest.StashKey[int]()


def share(text):
    """The two numbers of "K/N".

    Raises:
        ValueError: they are none, or there is no K-th of N.
    """
    part, parts = map(int, text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part, parts


def in_share(name, part, parts):
    """Whether a test belongs to a share: by its name alone, so that every process and every run divides alike."""
    return zlib.crc32(name.encode()) % parts == part - 1


def pytest_collection_modifyitems(config, items):
    """Without ``--all`` or ``-m`` the slow tests are left out; with ``--share`` all that belong to other shares."""
    if config.getoption("--share"):
        others = [item for item in items if not in_share(item.nodeid, *config.getoption("--share"))]
        items[:] = [item for item in items if in_share(item.nodeid, *config.getoption("--share"))]
        config.hook.pytest_deselected(items=others)
    if config.getoption("--all") or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Unless ``-n`` says in how many processes, pytest-xdist, where it is installed, is told to start one for each core."""
    is_worker = hasattr(config, "workerinput")  # which must not start workers of its own: they would never end
    if not is_worker and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = "auto"
        config.option.dist = "worksteal"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """A process for each core; this one alone where files are named, since others take seconds to start, and on a GPU."""
    files = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = files or cores == 1 or config.getoption("--backend") == "cuda"
    return 0 if alone else min(cores, PROCESSES)


def pytest_sessionfinish(session):
    """What a worker left out, told to the process that started it; all workers leave out the same."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter, config):
    n = config.stash.get(LEFT_OUT, 0)
    if n:
        terminalreporter.write_line(f"{n} slow test{'s' * (n > 1)} left out; --all runs {'them' if n > 1 else 'it'}")


# --- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def backend(request):
    """ "cpu" or "cuda"; without a GPU that can be used, tests that are to run on one are skipped."""
    name = request.config.getoption("--backend")
    if name == "cuda":
        from scratchlv.cuda.availability import what_is_wrong

        problem = what_is_wrong()
        if problem is not None:
            pytest.skip(f"--backend cuda: {problem}")
    return name


@pytest.fixture
def threads(monkeypatch):
    """Sets the number of threads that kernels use, for one test, also on a machine with fewer cores, and for small arrays."""
    import numba

    monkeypatch.setattr("scratchlv.kernels.building_blocks.threads.WORTH_WAKING", 0)
    monkeypatch.setattr("scratchlv.kernels.building_blocks.threads._cores", numba.config.NUMBA_NUM_THREADS)
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


SETS = {
    "babi": "bAbI (Weston et al. 2015), the English tasks 1 to 10: qa1_single-supporting-fact_train.txt …",
    "daquar": "DAQUAR (Malinowski & Fritz 2014), all classes: qa.train.txt, answer_space.txt, images/",
    "flickr8k": "Flickr8k (Hodosh et al. 2013): images/, Flickr8k.token.txt, Flickr_8k.trainImages.txt and .devImages.txt",
    "metrics/nlg_eval": "the example of nlg-eval (Sharma et al. 2017): hyp.txt, ref1.txt, ref2.txt",
    "multi30k": "Multi30k (Elliott et al. 2016), tokenised: train.lc.norm.tok.en, val.lc.norm.tok.en, and the same in de and fr",
    "news": "4,000 rows of Kaggle's News Summary (Inshorts), in UTF-8: news.train.csv with the columns text and headline",
    "ptb": "the Penn Treebank as Mikolov prepared it: ptb.train.txt, ptb.valid.txt",
    "tinyshakespeare": "Karpathy's tiny Shakespeare: input.txt",
}


@pytest.fixture(scope="session")
def public_set():
    """The folder of a public set of data below ``$SCRATCHLV_DATA``; where there is none, the test is skipped and says which."""

    def folder(name):
        found = Path(os.environ.get("SCRATCHLV_DATA", ""), name)
        if "SCRATCHLV_DATA" not in os.environ or not found.is_dir():
            pytest.skip(f"set SCRATCHLV_DATA to a folder with {name}/, which is {SETS[name]}")
        return found

    return folder
