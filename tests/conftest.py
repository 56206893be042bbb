"""Fixtures that several parts of the suite share, and the empty world in which it runs.

No test may depend on what a user has: files in the working directory, a home, caches, variables. So the suite
runs in an empty directory with an empty home, and a test that leaves something in the directory fails.
"""

import gc
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors import safe_open

GOLDEN_VERSION = 1

# A job in the background is started with Ctrl-C ignored, and so are its children: tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


OURS = ("MINIDISTIL_KILLS", "HF_HUB_OFFLINE")  # a setting of the suite itself; nothing is fetched by chance
FOREIGN = ("MINIDISTIL_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "TQDM_", "XDG_", "PYTHONIO")
FOREIGN += ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "APPDATA", "LOCALAPPDATA", "USERPROFILE")
WORLD = pytest.StashKey[tuple[Path, pytest.MonkeyPatch]]()
CACHE = pytest.StashKey[Path]()


def pytest_configure(config):
    from minidistil.weights.assets import cache_dir

    world, patch = Path(tempfile.mkdtemp(prefix="minidistil-tests-")), pytest.MonkeyPatch()
    config.stash[WORLD], config.stash[CACHE] = (world, patch), cache_dir()
    for name in list(os.environ):
        if name.startswith(FOREIGN) and name not in OURS:
            patch.delenv(name)
    for name in ("directory", "home"):
        (world / name).mkdir()
    patch.setenv("HOME", str(world / "home"))
    patch.setenv("HF_HUB_OFFLINE", "1")
    # Kernels stay where they are: with an empty home and a read-only checkout they would be compiled again.


def pytest_collection_finish():
    """Keep what was imported and collected out of garbage collection: it stays to the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    world, patch = config.stash[WORLD]
    patch.undo()
    shutil.rmtree(world, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _nowhere(pytestconfig):
    """The suite runs in an empty directory, from the first test on."""
    world, _ = pytestconfig.stash[WORLD]
    before = Path.cwd()
    os.chdir(world / "directory")
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def user_cache(pytestconfig):
    """The folder of fetched files outside the suite's world: parity needs the real encoder, fetched once."""
    return pytestconfig.stash[CACHE]


@pytest.fixture(autouse=True)
def _leaves_nothing(pytestconfig):
    """A test that writes into the working directory fails."""
    yield
    directory = pytestconfig.stash[WORLD][0] / "directory"
    left = os.listdir(directory)
    if left:
        shutil.rmtree(directory)
        directory.mkdir()
        pytest.fail(f"left in the working directory: {', '.join(left)}")


class Golden(NamedTuple):
    """One golden file: its tensors by name, and what its maker noted."""

    tensors: dict[str, np.ndarray]
    about: dict[str, Any]

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors named `prefix.*`, without the prefix."""
        return {
            k.removeprefix(f"{prefix}."): v for k, v in self.tensors.items() if k.startswith(f"{prefix}.")
        }


def read_golden(name: str, directory: Path = Path(__file__).parent / "golden") -> Golden:
    """Read `name`.safetensors, or fail with a hint if it is older or newer than the tests."""
    with safe_open(directory / f"{name}.safetensors", "np") as file:
        about = json.loads(file.metadata()["golden"])
        if about["version"] != GOLDEN_VERSION:
            pytest.fail(
                f"{name}.safetensors has format {about['version']}, the tests want {GOLDEN_VERSION}: "
                f"install the parity extra and run `python tests/golden/make_golden.py`"
            )
        return Golden({key: file.get_tensor(key) for key in file.keys()}, about)  # noqa: SIM118


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: the golden file of that name."""
    return read_golden
