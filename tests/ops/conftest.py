"""Each test here that asks for `backend` runs twice: on the textbook and on the kernels."""

import pytest

from minidistil import kernels, ops


@pytest.fixture(params=[ops, kernels], ids=lambda module: module.name)
def backend(request):
    """The module that computes."""
    return request.param
