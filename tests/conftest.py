"""What several parts of the suite share."""

import json
import signal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors import safe_open

GOLDEN_VERSION = 1

# A job in the background is started with Ctrl-C ignored, and so are its children: tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
