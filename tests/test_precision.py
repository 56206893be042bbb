"""The one table of precisions."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import CONFIG

from minidistil.errors import UsageError
from minidistil.kernels.gemm.operands import OPERANDS
from minidistil.model import BertModel
from minidistil.precision import PRECISIONS, precision_of


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("form", [str, np.dtype, lambda name: np.dtype(name).type])
def test_a_model_stores_what_its_precision_says(name, form):
    model = BertModel(CONFIG, dtype=form(name))
    assert model.precision is PRECISIONS[name]
    assert model.params.dtype == PRECISIONS[name].stored


@pytest.mark.parametrize("unknown", ["bfloat16", "float16", np.float16, np.int8])
def test_an_unknown_one_is_refused_with_those_there_are(unknown):
    with pytest.raises(UsageError, match="dtype must be one of float32, float64, not"):
        precision_of(unknown)


def test_a_precision_for_prediction_refuses_training():
    model = BertModel(CONFIG)
    model.precision = replace(model.precision, name="int8", trains=False)
    with pytest.raises(UsageError, match="int8 is for prediction; train with dtype='float32'"):
        model.train()


def test_products_know_the_operands_of_a_precision_or_leave_them_to_blas():
    assert {name for name, precision in PRECISIONS.items() if precision.operands in OPERANDS} == {"float32"}
