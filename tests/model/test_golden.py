"""Our models against PyTorch and transformers, by the golden files: every class, state, loss and gradient."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minidistil import losses
from minidistil.distill import Distillation
from minidistil.model import MODELS
from minidistil.model.families import config_from_dict
from minidistil.train.optimizer import AdamW
from minidistil.train.schedule import schedule
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

HEADS = ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice")
VARIANTS = ("multi_label", "regression")
FAMILIES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "ernie": "Ernie",
    "roberta": "Roberta",
    "mpnet": "MPNet",
    "electra": "Electra",
    "albert": "Albert",
}
CASES = [f"{family}For{head}" for family in FAMILIES.values() for head in HEADS]
CASES += [f"{family}ForSequenceClassification.{v}" for family in ("Bert", "DistilBert") for v in VARIANTS]
CASES += [
    f"{family}For{head}" for family in ("Bert", "Ernie") for head in ("NextSentencePrediction", "PreTraining")
]
CASES += ["ElectraForPreTraining", "AlbertForPreTraining"]
BARE = [f"{family}Model" for family in FAMILIES.values()]

# The float64 bound asked for is 1e-9; these numbers are small, and far better is possible.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

every_case = pytest.mark.parametrize("case", CASES)
every_class = pytest.mark.parametrize("case", [*BARE, *CASES])
backends = pytest.mark.parametrize("backend", ["numpy", "numba"])
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def load(golden, case, backend, dtype):
    """The model of a case with its golden parameters, the case's file, and that of its encoder."""
    if case in BARE:
        file = golden(case)
        family = golden(f"family.{file.about['family']}")
    else:
        file = golden(case)
        family = golden(f"family.{file.about['family']}")
    name, changes = file.about["family"], file.about["changes"]
    config = config_from_dict({"model_type": name, **family.about["config"], **changes})
    model = MODELS[file.about["class"]](config, dtype=dtype, backend=backend)
    parameters = family.group("parameters") | file.group("parameters")
    if case in BARE:
        parameters = {k.removeprefix(f"{name}."): v for k, v in parameters.items()}
    assert set(parameters) == set(model.params)
    for key, value in parameters.items():
        model.params[key][...] = value
    if file.about["class"].endswith("MultipleChoice"):  # two examples with two choices each
        pairs = {k: v.reshape(2, 2, -1) for k, v in family.tensors.items() if k.startswith("inputs.")}
        family = family._replace(tensors=family.tensors | pairs)
    return model, file, family


def relative_error(ours, reference):
    """|a - b| / |b|."""
    assert ours.shape == reference.shape
    return np.linalg.norm(np.float64(ours) - reference) / np.linalg.norm(reference)


def assert_all_close(ours, reference, tolerance):
    """Every tensor within the tolerance; the first that is not is named, in the order of `ours`."""
    assert set(ours) == set(reference)
    assert reference
    errors = {name: relative_error(ours[name], reference[name]) for name in ours}
    bad = [f"{name} {error:.1e}" for name, error in errors.items() if not error <= tolerance]
    assert not bad, f"first divergence beyond {tolerance:.0e}: {bad[0]}; all: {', '.join(bad)}"


def assert_gradients_close(grads, reference, tolerance, *, choices=False):
    """Like `assert_all_close`, in the order of a backward pass.

    Some gradients are zero by symmetry: a softmax ignores what moves all its inputs alike. Those are the
    biases of the keys, the last two biases below the span head, and the one of the scores of choices. What
    rounding leaves of them is measured against the largest gradient.
    """
    grads, reference = dict(reversed(list(grads.items()))), dict(reference)
    largest = max(np.linalg.norm(value) for value in reference.values())
    silent = [name for name, value in reference.items() if np.linalg.norm(value) < 1e-13 * largest]
    still = ["self.key.bias", "attention.key.bias", "attention.k_lin.bias", "attn.k.bias"]
    if choices:
        still.append("classifier.bias")
    if "qa_outputs.bias" in reference:
        still += ["qa_outputs.bias", "layer.1.output_layer_norm.bias", "layer.1.output.LayerNorm.bias"]
    ends = tuple(f".{name}" for name in still)
    assert sorted(silent) == sorted(name for name in reference if f".{name}".endswith(ends))
    for name in silent:
        assert np.linalg.norm(grads.pop(name) - reference.pop(name)) <= tolerance * largest, name
    assert_all_close(grads, reference, tolerance)


@backends
@dtypes
@every_class
def test_states_attentions_and_outputs(golden, case, backend, dtype):
    model, file, family = load(golden, case, backend, dtype)
    out = model(**family.group("inputs"), output_hidden_states=True, output_attentions=True)
    ours = {"hidden_states.0": out.hidden_states[0]}
    for i, (attention, state) in enumerate(zip(out.attentions, out.hidden_states[1:], strict=True)):
        ours |= {f"attentions.{i}": attention, f"hidden_states.{i + 1}": state}
    reference = {k: family.tensors[k] for k in ours}
    assert len(ours) == 1 + 2 * model.config.num_hidden_layers
    outputs = file.group("outputs")
    assert outputs
    assert_all_close(ours | {k: out[k] for k in outputs}, reference | outputs, TOLERANCE[dtype])


@backends
@dtypes
@every_case
def test_loss_and_every_gradient(golden, case, backend, dtype):
    model, file, family = load(golden, case, backend, dtype)
    loss, grads = model.loss_and_grads(**family.group("inputs"), **file.group("targets"))
    assert loss == pytest.approx(file.tensors["loss"], rel=TOLERANCE[dtype])
    choices = case.endswith("MultipleChoice")
    assert_gradients_close(grads, file.group("gradients"), TOLERANCE[dtype], choices=choices)
    assert model(**family.group("inputs"), **file.group("targets")).loss == pytest.approx(loss, rel=1e-6)


@backends
@dtypes
@pytest.mark.parametrize("case", BARE)
def test_gradients_of_outputs_and_hidden_states(golden, case, backend, dtype):
    model, file, family = load(golden, case, backend, dtype)
    batch = model.pack(**family.group("inputs"))
    _, cache = model.forward(batch, hidden_states=True)
    cotangents = {k: v.astype(dtype) for k, v in file.group("cotangents").items()}
    states = {i: batch.pack(cotangents.pop(f"hidden_states.{i}")) for i in range(2)}
    packed = {k: v if k == "pooler_output" else batch.pack(v) for k, v in cotangents.items()}
    grads = model.params.like()
    model.backward({**packed, "hidden_states": states}, cache, grads)
    assert_gradients_close(grads, file.group("gradients"), TOLERANCE[dtype])


@backends
@pytest.mark.parametrize("case", ["BertForMaskedLM", "DistilBertForSequenceClassification"])
def test_ten_steps_of_adamw(golden, case, backend):
    model, _, family = load(golden, case, backend, "float64")
    file = golden(f"trajectory.{case}")
    inputs, targets, about = family.group("inputs"), golden(case).group("targets"), file.about
    optimizer = AdamW(
        model.params,
        model.backend,
        lr=about["lr"],
        betas=tuple(about["betas"]),
        eps=about["eps"],
        weight_decay=about["weight_decay"],
    )
    losses, norms = [], []
    for step, rows in enumerate(file.tensors["rows"]):
        loss, grads = model.loss_and_grads(
            **{k: v[rows] for k, v in inputs.items()}, **{k: v[rows] for k, v in targets.items()}
        )
        norm = optimizer.global_norm(grads)
        factor = schedule("linear", step, about["steps"], about["warmup"])
        optimizer.step(grads, factor=factor, scale=min(1.0, about["clip"] / (norm + 1e-6)))
        losses.append(loss)
        norms.append(norm)
    assert max(norms) > 1.5 * about["clip"]  # clipping did something
    np.testing.assert_allclose(losses, file.tensors["losses"], rtol=1e-9)
    np.testing.assert_allclose(norms, file.tensors["norms"], rtol=1e-9)
    assert_all_close(dict(model.params), file.group("final"), 1e-9)


class InTurn:
    """Training data that gives ready-made micro-batches, the next at each call."""

    def __init__(self, batches):
        self.batches, self.given = batches, 0
        self.lengths = np.array([batch.num_tokens for batch in batches])

    def __len__(self):
        return len(self.batches)

    def batch(self, indices):
        self.given += 1
        return self.batches[self.given - 1]

    def content_hash(self):
        return ""


@backends
def test_twenty_steps_of_the_recipe(golden, backend):
    """The trainer's own: accumulation, exact normalisation, frozen positions, warm-up, clipping."""
    teacher, _, _ = load(golden, "BertForMaskedLM", backend, "float64")
    student, _, family = load(golden, "DistilBertForMaskedLM", backend, "float64")
    file = golden("trajectory.distillation")
    about, given = file.about, {**family.group("inputs"), "labels": file.tensors["labels"]}
    pairs = file.tensors["rows"].reshape(-1, 2)
    data = InTurn([student.pack(**{k: v[pair] for k, v in given.items()}) for pair in pairs])
    student.freeze("*position_embeddings*")
    settings = TrainSettings(
        epochs=1, batch_size=1, accumulation=2, lr=about["lr"], betas=tuple(about["betas"]), eps=about["eps"],
        weight_decay=about["weight_decay"], warmup=about["warmup"], clip=about["clip"], dropout=False,
        log_every=1,
    )  # fmt: skip
    weights = {
        "soft": about["weights"]["ce"],
        "hard": about["weights"]["mlm"],
        "cosine": about["weights"]["cos"],
    }
    objective = Distillation(student, weights, teacher=teacher, temperature=about["temperature"])
    records = Trainer(student, objective, data, settings=settings, quiet=True).train().history
    assert len(records) == about["steps"] == 20
    for term in weights:
        np.testing.assert_allclose([r[term] for r in records], file.tensors[term], rtol=1e-8)
    norms = [r["grad_norm"] for r in records]
    np.testing.assert_allclose(norms, file.tensors["norms"], rtol=1e-8)
    assert max(norms) > 1.5 * about["clip"], "clipping did something"
    assert_all_close(dict(student.params), file.group("final"), 1e-8)


@backends
@dtypes
def test_a_distillation_step(golden, backend, dtype):
    """DistilBERT's objective: 5 soft labels + 2 masked words + 1 cosine of the last hidden states."""
    teacher, _, _ = load(golden, "BertForMaskedLM", backend, dtype)
    student, _, family = load(golden, "DistilBertForMaskedLM", backend, dtype)
    file = golden("distillation")
    batch = student.pack(**family.group("inputs"), labels=file.tensors["labels"])
    t, _ = teacher.forward(batch)
    s, cache = student.forward(batch)
    terms = {
        "ce": losses.soft_label_kl(s["logits"], t["logits"], temperature=file.about["temperature"]),
        "mlm": losses.cross_entropy(s["logits"], batch.targets["labels"]),
        "cos": losses.cosine(s["last_hidden_state"], t["last_hidden_state"]),
    }
    weights = file.about["weights"]
    tolerance = TOLERANCE[dtype]
    total = sum(weights[name] * term.mean for name, term in terms.items())
    assert total == pytest.approx(file.tensors["total"], rel=tolerance)
    for name, term in terms.items():
        assert term.mean == pytest.approx(file.tensors[f"terms.{name}"], rel=tolerance)
    ours = {name: term.grad / term.count for name, term in terms.items()}
    assert_all_close(ours, file.group("output_gradients"), tolerance)
    grads = student.params.like()
    logits = weights["ce"] * ours["ce"] + weights["mlm"] * ours["mlm"]
    student.backward({"logits": logits, "last_hidden_state": weights["cos"] * ours["cos"]}, cache, grads)
    assert_gradients_close(grads, file.group("gradients"), tolerance)


def test_no_class_is_forgotten():
    own = {name for name, kind in MODELS.items() if kind.__mro__[1].__name__ not in MODELS}
    assert {case.split(".")[0] for case in [*BARE, *CASES]} == own


def test_a_stale_file_says_how_to_make_it_anew(golden, tmp_path):
    path = Path(__file__).parents[1] / "golden" / "losses.safetensors"
    raw = path.read_bytes()
    about = json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["golden"])
    old = rf"\"version\": {about['version']}".encode()
    assert raw.count(old) == 1
    shutil.copy(path, tmp_path / "losses.safetensors")
    (tmp_path / "losses.safetensors").write_bytes(raw.replace(old, rb"\"version\": 0"))
    with pytest.raises(pytest.fail.Exception, match=r"has format 0.*make_golden\.py"):
        golden("losses", tmp_path)
