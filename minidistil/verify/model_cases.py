"""Cases of the gradient check, whole models: every parameter of every class, at two layers."""

from __future__ import annotations

import dataclasses
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.model import model_class, model_classes
from minidistil.model.model import Model
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import normal
from minidistil.verify.cases import Maker
from minidistil.verify.finite_differences import Case

SEED = 20191002
ENTRYWISE = 16  # vectors entry by entry, matrices along random directions: a matter of time

# Three sequences of 2, 5 and 3 tokens out of a vocabulary of 11, padded on the right.
INPUT_IDS = np.array([[1, 7, 0, 0, 0], [1, 4, 9, 4, 2], [1, 10, 2, 0, 0]])
ATTENTION_MASK = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
TOKEN_TYPE_IDS = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])

WORDS = np.array([[-100, 3, -100, -100, -100], [-100, 4, -100, 8, 2], [-100, -100, 0, -100, -100]])
REPLACED = np.array([[0, 1, -100, -100, -100], [0, 1, 1, 0, 0], [-100, 1, 0, -100, -100]])
TAGS = np.array([[0, 1, -100, -100, -100], [-100, 2, 2, 0, 1], [1, 0, 2, -100, -100]])
# The targets of each class's own loss, by how its name ends.
TARGETS: dict[str, dict[str, npt.NDArray[Any]]] = {
    "Model": {},
    "ForMaskedLM": {"labels": WORDS},
    "ForMultipleChoice": {"labels": np.array([2])},
    "ForSequenceClassification": {"labels": np.array([2, 0, 1])},
    "ForTokenClassification": {"labels": TAGS},
    "ForQuestionAnswering": {"start_positions": np.array([1, 1, 0]), "end_positions": np.array([1, 3, 2])},
    "ForNextSentencePrediction": {"labels": np.array([0, 1, 1])},
    "AlbertForPreTraining": {"labels": WORDS, "sentence_order_label": np.array([0, 1, 1])},
    "ElectraForPreTraining": {"labels": REPLACED},
    "ForPreTraining": {"labels": WORDS, "next_sentence_label": np.array([0, 1, 1])},
}
INSIDE = ("hidden_states", "qkv")  # outputs that are lists, one entry a layer
MANY = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
SCORES = np.array([0.3, -1.2, 2.5])


def tiny_model(name: str, backend: ModuleType, *, seed: int = SEED, **changes: Any) -> Model:
    """A float64 model of two layers, with weights so large that every part of it is far from linear."""
    kind = model_class(name)
    # Tables that a family has only if its config says so, and a width of their own.
    optional = {"use_task_id": True, "embedding_size": 6}
    fields = {field.name for field in dataclasses.fields(kind.config_class)}
    config = kind.config_class(
        **{
            "vocab_size": 11,
            "max_position_embeddings": 6,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 12,
            "id2label": {0: "a", 1: "b", 2: "c"},
            **{name: value for name, value in optional.items() if name in fields},
            **changes,
        }
    )
    model = kind(config, dtype="float64", backend=backend.name)
    for i, (parameter, value) in enumerate(model.params.items()):
        gain = 1 if model.params.spec(parameter).role == "norm" and parameter.endswith("weight") else 0
        value[...] = gain + 0.4 * normal(value.shape, seed, i)
    return model


def outputs_case(name: str, dropout: Dropout | None, backend: ModuleType, **changes: Any) -> Case:
    """All outputs of a model, hidden states and each layer's q, k, v among them, by every parameter."""
    model = tiny_model(name, backend, **changes)
    batch = Batch.from_padded(INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)

    def forward() -> dict[str, Array]:
        outputs, _ = model.forward(batch, dropout=dropout, hidden_states=True, qkv=True)
        for name in INSIDE:
            outputs |= {f"{name}.{i}": value for i, value in enumerate(outputs.pop(name))}
        return outputs

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        _, cache = model.forward(batch, dropout=dropout)
        inside: dict[str, dict[int, Array]] = {name: {} for name in INSIDE}
        for key in [key for key in douts if "." in key]:
            name, i = key.split(".")
            inside[name][int(i)] = douts.pop(key)
        begun, grads = model.params.like(), model.params.like()
        begun.flat[...] = normal(begun.flat.shape, SEED)  # gradients are added to what is there
        grads.flat[...] = begun.flat
        model.backward({**douts, **inside}, cache, grads)
        return {parameter: grads[parameter] - begun[parameter] for parameter in grads}

    return Case(model.params, forward, backward, entrywise=ENTRYWISE if dropout is None else 0)


def loss_case(name: str, targets: dict[str, Any], backend: ModuleType, **changes: Any) -> Case:
    """A model's own loss, as `model(...)` and `model.loss_and_grads(...)` give it, by every parameter."""
    model = tiny_model(name, backend, **changes)
    batch = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)
    if model.over_choices:  # the three are one example's choices
        batch = (INPUT_IDS[None], ATTENTION_MASK[None], TOKEN_TYPE_IDS[None])

    def forward() -> dict[str, Array]:
        return {"loss": np.array(model(*batch, **targets).loss)}

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        _, grads = model.loss_and_grads(*batch, **targets)
        return {parameter: grad * douts["loss"] for parameter, grad in grads.items()}

    return Case(model.params, forward, backward, ENTRYWISE)


def model_cases() -> dict[str, Maker]:
    """Every class: its outputs, the same in training mode, its loss; then other settings of a config."""
    cases: dict[str, Maker] = {}
    for name in model_classes():
        cases[f"model.{name}"] = partial(outputs_case, name, None)
        cases[f"model.{name}.dropout"] = partial(outputs_case, name, Dropout(seed=3, step=5))
        targets = next(targets for ending, targets in TARGETS.items() if name.endswith(ending))
        if targets:
            cases[f"model.{name}.loss"] = partial(loss_case, name, targets)
    groups: dict[str, Any] = {
        "num_hidden_layers": 3,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "embedding_size": 8,
    }
    cases["model.AlbertForPreTraining.groups"] = partial(outputs_case, "AlbertForPreTraining", None, **groups)
    for name in ("BertForMaskedLM", "DistilBertForMaskedLM"):
        cases[f"model.{name}.untied"] = partial(outputs_case, name, None, tie_word_embeddings=False)
    one: dict[str, Any] = {"id2label": {0: "score"}, "problem_type": "regression"}
    for name in ("BertForSequenceClassification", "DistilBertForSequenceClassification"):
        cases[f"model.{name}.multi_label"] = partial(loss_case, name, {"labels": MANY})
        cases[f"model.{name}.regression"] = partial(loss_case, name, {"labels": SCORES}, **one)
    return cases


MODEL_CASES = model_cases()
