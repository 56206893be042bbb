"""Old names: each says what it is called now, and the new one is there."""

import importlib
import subprocess
import sys

import pytest

from minidistil._renamed import RENAMED


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_says_the_new_one(old, new):
    package, _, name = old.rpartition(".")
    for statement in (f"import {old}", f"from {package} import {name}", f"from {old} import something"):
        with pytest.raises(ImportError) as error:
            exec(statement, {})
        assert str(error.value) == f"{old} is now called {new}"
    new = new.split(" ")[0]
    package, _, name = new.rpartition(".")
    assert hasattr(importlib.import_module(package), name) or importlib.import_module(new)


def test_other_missing_names_are_missing():
    code = "import minidistil, minidistil.tasks.neighbors"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "No module named 'minidistil.tasks.neighbors'" in done.stderr
