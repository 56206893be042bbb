"""Make the golden files beside this script: what PyTorch and transformers compute, in float64.

    pip install "minidistil[parity]"
    python tests/golden/make_golden.py [DIRECTORY]

The tests read the files and need neither package. Nothing here imports minidistil, so a mistake of ours
cannot reach them. Weights and inputs come from NumPy generators seeded by name: run twice, same bytes.
After a change of what a file holds, raise VERSION here and GOLDEN_VERSION in tests/conftest.py.

    family.<family>.safetensors    encoder parameters, inputs, hidden states, attention maps
    <Class>[.<variant>].safetensors    head parameters, outputs, loss, every gradient
    trajectory.<Class>.safetensors     ten AdamW steps: losses, gradient norms, the final parameters
    distillation.safetensors       one step of DistilBERT's objective: three terms, every gradient
    operations.safetensors, losses.safetensors    values and gradients of single functions
    objectives.safetensors         the same of what definitions.py defines
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import definitions
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as PyTorch's documentation calls it
import transformers
from safetensors.numpy import save_file

VERSION = 1

SIZES = {"vocab_size": 60, "max_position_embeddings": 14, "layer_norm_eps": 1e-12}
HIDDEN, LAYERS, HEADS, WIDE, LABELS = 24, 2, 4, 40, 3
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {
        **SIZES,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": WIDE,
    },
    "distilbert": {**SIZES, "dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": WIDE},
}
CONFIGS["ernie"] = {**CONFIGS["bert"], "use_task_id": True}
# The first two have more cases than the others, which are smaller.
SMALL = {**CONFIGS["bert"], "hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20}
CONFIGS["roberta"] = {**SMALL, "max_position_embeddings": 16, "pad_token_id": 1, "type_vocab_size": 1}
CONFIGS["electra"] = {**SMALL, "embedding_size": 8, "type_vocab_size": 4}
CONFIGS["mpnet"] = {k: v for k, v in CONFIGS["roberta"].items() if k != "type_vocab_size"}
CONFIGS["albert"] = {**SMALL, "embedding_size": 8}
PREFIXES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "ernie": "Ernie",
    "roberta": "Roberta",
    "mpnet": "MPNet",
    "electra": "Electra",
    "albert": "Albert",
}


LENGTHS = np.array([9, 3, 1, 6])
B, L = len(LENGTHS), int(LENGTHS.max()) + 2  # two columns of nothing but padding
MASK = (np.arange(L) < LENGTHS[:, None]).astype(np.int64)  # [B, L]

Tensors = dict[str, np.ndarray]


def rng(name: str) -> np.random.Generator:
    """A generator of its own for each name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def inputs(family: str) -> Tensors:
    pad, types = CONFIGS[family].get("pad_token_id", 0), CONFIGS[family].get("type_vocab_size", 2)
    ids = rng("ids").integers(pad + 1, SIZES["vocab_size"], (B, L))
    found = {"input_ids": np.where(MASK == 1, ids, pad), "attention_mask": MASK}
    if family not in ("distilbert", "mpnet"):
        found["token_type_ids"] = rng("types").integers(0, types, (B, L)) * MASK
    if family == "ernie":
        found["task_type_ids"] = rng("tasks").integers(0, 3, (B, L)) * MASK
    return found


def some_labels(classes: int, share: float) -> np.ndarray:
    """[B, L] labels for a random `share` of the real tokens; -100 elsewhere."""
    draw = rng(f"labels {classes}")
    labels = draw.integers(0, classes, (B, L))
    return np.where((draw.random((B, L)) < share) & (MASK == 1), labels, -100)


WORDS = some_labels(SIZES["vocab_size"], 0.6)
CLASSES = np.array([2, 0, -100, 1])  # one without a label
FOLLOWS = np.array([0, 1, 1, 0])

# file name: (family, class, changes to the config, targets)
CASES: dict[str, tuple[str, str, dict[str, Any], Tensors]] = {}
for _family, _prefix in PREFIXES.items():
    for _name, _changes, _targets in (
        ("Model", {}, {}),
        ("ForMaskedLM", {}, {"labels": WORDS}),
        ("ForSequenceClassification", {"num_labels": LABELS}, {"labels": CLASSES}),
        (
            "ForSequenceClassification.multi_label",
            {"num_labels": LABELS, "problem_type": "multi_label_classification"},
            {"labels": rng("many").integers(0, 2, (B, LABELS)).astype(np.float64)},
        ),
        (
            "ForSequenceClassification.regression",
            {"num_labels": 1, "problem_type": "regression"},
            {"labels": rng("scores").standard_normal(B)},
        ),
        ("ForMultipleChoice", {}, {"labels": np.array([1, 0])}),
        ("ForTokenClassification", {"num_labels": LABELS}, {"labels": some_labels(LABELS, 0.8)}),
        (
            "ForQuestionAnswering",
            {},
            {"start_positions": np.array([4, 0, 0, 5]), "end_positions": np.array([8, 2, 0, 5])},
        ),
    ):
        if _family in ("bert", "distilbert") or "." not in _name:
            CASES[_prefix + _name] = (_family, (_prefix + _name).split(".")[0], _changes, _targets)
for _family in ("bert", "ernie"):
    for _name, _targets in (
        ("ForNextSentencePrediction", {"labels": FOLLOWS}),
        ("ForPreTraining", {"labels": WORDS, "next_sentence_label": FOLLOWS}),
    ):
        CASES[PREFIXES[_family] + _name] = (_family, PREFIXES[_family] + _name, {}, _targets)
CASES["ElectraForPreTraining"] = ("electra", "ElectraForPreTraining", {}, {"labels": some_labels(2, 0.8)})


CASES["AlbertForPreTraining"] = (
    "albert",
    "AlbertForPreTraining",
    {},
    {"labels": WORDS, "sentence_order_label": FOLLOWS},
)


def build(family: str, class_name: str, changes: Mapping[str, Any]) -> torch.nn.Module:
    """A float64 model whose weights depend on their names only, so that classes share the encoder."""
    config = getattr(transformers, f"{PREFIXES[family]}Config")(
        **CONFIGS[family], **changes, attn_implementation="eager"
    )
    model = getattr(transformers, class_name)(config).double().eval()
    bare = class_name.endswith("Model")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            full = f"{family}.{name}" if bare else name
            draw = rng(full).standard_normal(tuple(parameter.shape), np.float32)
            is_gain = "norm" in name.lower() and name.endswith("weight")
            # Exact in float32, so that a float32 model starts from the very same numbers.
            value = np.float32(0.3) * draw + np.float32(is_gain)
            parameter.copy_(torch.from_numpy(value))
    return model


def tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value)


def array(value: torch.Tensor, *, padded: bool = False) -> np.ndarray:
    """As NumPy; `padded`: [B, L, ...] with zeros in place of what was computed on padding."""
    found = value.detach().numpy().copy()
    if padded:
        found[MASK == 0] = 0
    return found


def parameters(model: torch.nn.Module) -> Tensors:
    return {name: array(p).astype(np.float32) for name, p in model.named_parameters()}


def named(group: str, tensors: Mapping[str, np.ndarray]) -> Tensors:
    return {f"{group}.{name}": value for name, value in tensors.items()}


def gradients(model: torch.nn.Module) -> Tensors:
    return named("gradients", {name: array(p.grad) for name, p in model.named_parameters()})


def in_encoder(name: str, family: str) -> bool:
    return name.startswith(f"{family}.") and "pooler" not in name


def family_file(family: str) -> Tensors:
    """The encoder: its parameters, and what comes out of each layer."""
    class_name = f"{PREFIXES[family]}ForTokenClassification"
    model = build(family, class_name, {})
    given = inputs(family)
    out = model(**{k: tensor(v) for k, v in given.items()}, output_hidden_states=True, output_attentions=True)
    found = named("inputs", given)
    found |= {f"parameters.{k}": v for k, v in parameters(model).items() if in_encoder(k, family)}
    for i, state in enumerate(out.hidden_states):
        found[f"hidden_states.{i}"] = array(state, padded=True)
    for i, attention in enumerate(out.attentions):
        pairs = MASK[:, None, :, None] * MASK[:, None, None, :]  # what padding looks at is noise
        found[f"attentions.{i}"] = array(attention) * pairs
    return found


def span_loss(out: Any, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """transformers' loss of question answering, with padding at minus infinity.

    transformers itself takes the softmax over padding too, so that its loss depends on the padding.
    """
    blank = tensor(MASK) == 0
    start = F.cross_entropy(out.start_logits.masked_fill(blank, -torch.inf), targets["start_positions"])
    end = F.cross_entropy(out.end_logits.masked_fill(blank, -torch.inf), targets["end_positions"])
    return (start + end) / 2


def replaced_loss(out: Any, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The loss of a discriminator over the tokens that have a label.

    transformers itself takes all real tokens, and labels in float32, and therefore the loss.
    """
    known = targets["labels"] >= 0
    return F.binary_cross_entropy_with_logits(out.logits[known], targets["labels"][known].double())


def case_file(name: str) -> Tensors:
    """One class: outputs, its own loss (or random cotangents of its outputs), every gradient."""
    family, class_name, changes, targets = CASES[name]
    model = build(family, class_name, changes)
    given = inputs(family)
    if class_name.endswith("MultipleChoice"):  # two examples with two choices each
        # transformers flattens all of them but the task types
        given = {k: v if k == "task_type_ids" else v.reshape(2, B // 2, L) for k, v in given.items()}
    given = {k: tensor(v) for k, v in (given | targets).items()}
    out = model(**given, output_hidden_states=class_name.endswith("Model"))
    found = {f"parameters.{k}": v for k, v in parameters(model).items() if not in_encoder(k, family)}
    found |= named("targets", targets)
    outputs = {k: v for k, v in out.items() if k not in ("loss", "hidden_states")}
    for key, value in outputs.items():
        found[f"outputs.{key}"] = array(value, padded=value.shape[:2] == (B, L))
    if class_name.endswith("Model"):
        found = {k: v for k, v in found.items() if k.startswith(("outputs.", "parameters.pooler."))}
        outputs |= {f"hidden_states.{i}": state for i, state in enumerate(out.hidden_states[:-1])}
        loss = torch.zeros((), dtype=torch.float64)
        for key, value in outputs.items():
            cotangent = rng(f"cotangent {key}").standard_normal(tuple(value.shape))
            if value.shape[:2] == (B, L):
                cotangent[MASK == 0] = 0
            found[f"cotangents.{key}"] = cotangent
            loss = loss + (value * tensor(cotangent)).sum()
    elif class_name == "ElectraForPreTraining":
        loss = replaced_loss(out, given)
    else:
        loss = span_loss(out, given) if class_name.endswith("QuestionAnswering") else out.loss
    found["loss"] = array(loss)
    loss.backward()
    return found | gradients(model)


STEPS, WARMUP = 10, 3
ADAMW = {"lr": 2e-2, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.1}
CLIP = 1.0


def trajectory_file(class_name: str) -> Tensors:
    """Ten steps of AdamW, each on two of the sequences: warm-up, clipping, decay by role."""
    family, _, changes, targets = CASES[class_name]
    model = build(family, class_name, changes)
    roles = {name: "norm" in name.lower() or name.endswith("bias") for name, _ in model.named_parameters()}
    still = [p for name, p in model.named_parameters() if roles[name]]
    decaying = [p for name, p in model.named_parameters() if not roles[name]]
    optimizer = torch.optim.AdamW([{"params": decaying}, {"params": still, "weight_decay": 0.0}], **ADAMW)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    rows = np.array([[0, 3], [1, 0], [3, 1], [3, 0], [0, 1]] * 2)
    given = {k: tensor(v) for k, v in (inputs(family) | targets).items()}
    losses, norms = [], []
    for step in range(STEPS):
        loss = model(**{k: v[rows[step]] for k, v in given.items()}).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    found = {"rows": rows, "losses": np.array(losses), "norms": np.array(norms)}
    return found | {f"final.{name}": array(p) for name, p in model.named_parameters()}


TEMPERATURE, WEIGHTS = 2.0, {"ce": 5.0, "mlm": 2.0, "cos": 1.0}


def distillation_file() -> Tensors:
    """DistilBERT's objective as its authors' code writes it, over all real tokens."""
    teacher = build("bert", "BertForMaskedLM", {})
    student = build("distilbert", "DistilBertForMaskedLM", {})
    given = {k: tensor(v) for k, v in inputs("distilbert").items()}
    with torch.no_grad():
        t = teacher(**given, output_hidden_states=True)
    s = student(**given, output_hidden_states=True)
    real = tensor(MASK) == 1
    s_logits, t_logits = s.logits[real], t.logits[real]  # [T, V]
    s_hidden, t_hidden = s.hidden_states[-1][real], t.hidden_states[-1][real]  # [T, H]
    terms = {
        "ce": F.kl_div(
            F.log_softmax(s_logits / TEMPERATURE, -1),
            F.softmax(t_logits / TEMPERATURE, -1),
            reduction="batchmean",
        )
        * TEMPERATURE**2,
        "mlm": F.cross_entropy(s.logits.view(B * L, -1), tensor(WORDS).view(-1), ignore_index=-100),
        "cos": F.cosine_embedding_loss(s_hidden, t_hidden, torch.ones(len(s_hidden), dtype=torch.float64)),
    }
    found: Tensors = {f"terms.{name}": array(term) for name, term in terms.items()}
    for name, term in terms.items():
        output = s_hidden if name == "cos" else s.logits if name == "mlm" else s_logits
        (grad,) = torch.autograd.grad(term, output, retain_graph=True)
        found[f"output_gradients.{name}"] = array(grad[real] if name == "mlm" else grad)
    total = sum(WEIGHTS[name] * term for name, term in terms.items())
    total.backward()
    return found | {"total": array(total), "labels": WORDS} | gradients(student)


RECIPE = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.0}
RECIPE_STEPS, RECIPE_WARMUP, RECIPE_CLIP = 20, 1, 5.0


def recipe_file() -> Tensors:
    """Twenty steps of DistilBERT's recipe: two micro-batches a step, positions frozen, warm-up, clipping.

    Each term is divided once, by its count over both micro-batches.
    """
    teacher = build("bert", "BertForMaskedLM", {})
    student = build("distilbert", "DistilBertForMaskedLM", {})
    student.distilbert.embeddings.position_embeddings.weight.requires_grad_(False)
    learning = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, **RECIPE)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, RECIPE_WARMUP, RECIPE_STEPS)
    rows = np.array([[[0, 3], [1, 2]], [[1, 0], [3, 3]], [[2, 1], [0, 3]], [[3, 0], [1, 1]]] * 5)
    given = {k: tensor(v) for k, v in inputs("distilbert").items()}
    found: dict[str, list[float]] = {"soft": [], "hard": [], "cosine": [], "norms": []}
    for window in rows:
        sums, counts = dict.fromkeys(WEIGHTS, torch.zeros((), dtype=torch.float64)), dict.fromkeys(WEIGHTS, 0)
        for pair in window:
            batch, real = {k: v[pair] for k, v in given.items()}, tensor(MASK)[pair] == 1
            with torch.no_grad():
                t = teacher(**batch, output_hidden_states=True)
            s = student(**batch, output_hidden_states=True)
            log_p_s = F.log_softmax(s.logits[real] / TEMPERATURE, -1)
            p_t = F.softmax(t.logits[real] / TEMPERATURE, -1)
            words = tensor(WORDS)[pair]
            near = F.cosine_similarity(s.hidden_states[-1][real], t.hidden_states[-1][real], dim=-1)
            sums["ce"] = sums["ce"] + TEMPERATURE**2 * (p_t * (p_t.log() - log_p_s)).sum()
            sums["mlm"] = sums["mlm"] - F.log_softmax(s.logits, -1)[words >= 0, words[words >= 0]].sum()
            sums["cos"] = sums["cos"] + (1 - near).sum()
            for name, count in (("ce", real.sum()), ("mlm", (words >= 0).sum()), ("cos", real.sum())):
                counts[name] += int(count)
        terms = {name: sums[name] / counts[name] for name in sums}
        optimizer.zero_grad()
        sum(WEIGHTS[name] * term for name, term in terms.items()).backward()
        found["norms"].append(float(torch.nn.utils.clip_grad_norm_(learning, RECIPE_CLIP)))
        optimizer.step()
        schedule.step()
        for ours, theirs in (("soft", "ce"), ("hard", "mlm"), ("cosine", "cos")):
            found[ours].append(float(terms[theirs].detach()))
    result: Tensors = {"rows": rows, "labels": WORDS} | {k: np.array(v) for k, v in found.items()}
    return result | {f"final.{name}": array(p) for name, p in student.named_parameters()}


def with_gradients(
    name: str, function: Callable[..., torch.Tensor], constants: tuple[Any, ...] = (), **arrays: np.ndarray
) -> Tensors:
    """`function` of `arrays` and constants: inputs, value, and gradients under a random cotangent."""
    leaves = {k: tensor(v).requires_grad_() for k, v in arrays.items()}
    out = function(*leaves.values(), *constants)
    cotangent = np.asarray(rng(f"cotangent {name}").standard_normal(tuple(out.shape)))
    grads = torch.autograd.grad(out, tuple(leaves.values()), tensor(cotangent))
    found = {f"{name}.{k}": v for k, v in arrays.items()}
    found |= {f"{name}.out": array(out), f"{name}.dout": cotangent}
    return found | {f"{name}.d{k}": array(g) for k, g in zip(leaves, grads, strict=True)}


def attention(qkv: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """PyTorch's own attention, one sequence after the other: qkv [T, 3H] -> [T, H]."""
    parts = []
    for part in qkv.split(lengths):
        q, k, v = (x.reshape(len(x), HEADS, -1).transpose(0, 1) for x in part.chunk(3, -1))  # each [A, L, D]
        out = F.scaled_dot_product_attention(q, k, v)
        parts.append(out.transpose(0, 1).reshape(len(part), -1))
    return torch.cat(parts)


def operations_file() -> Tensors:
    draw = rng("operations")
    T = int(LENGTHS.sum())
    x = draw.standard_normal((T, HIDDEN)) * 2
    weight, bias = draw.standard_normal((WIDE, HIDDEN)), draw.standard_normal(WIDE)
    gain, shift = 1 + 0.3 * draw.standard_normal(HIDDEN), draw.standard_normal(HIDDEN)
    tails = np.concatenate([np.linspace(-9, 9, 91), [-40, -1e-8, 0, 1e-8, 40]]).reshape(-1, 4)
    found = with_gradients("linear", F.linear, x=x, weight=weight, bias=bias)
    found |= with_gradients("gelu", F.gelu, x=tails)
    found |= with_gradients("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x=tails)
    found |= with_gradients("tanh", torch.tanh, x=tails)
    found |= with_gradients("relu", F.relu, x=x)
    found |= with_gradients("softmax", lambda x: F.softmax(x, -1), x=x)
    found |= with_gradients(
        "layernorm",
        lambda x, w, b: F.layer_norm(x, (HIDDEN,), w, b, 1e-12),
        x=3 * x + 5,
        weight=gain,
        bias=shift,
    )
    ids = tensor(draw.integers(0, 9, T))
    found |= with_gradients("embedding", lambda word: F.embedding(ids, word), word=x[:9]) | {
        "embedding.ids": array(ids)
    }
    qkv = draw.standard_normal((T, 3 * HIDDEN)) * 1.5
    return found | with_gradients("attention", attention, (LENGTHS.tolist(),), qkv=qkv)


def losses_file() -> Tensors:
    draw = rng("losses")
    n, c = 11, 7
    z, other = draw.standard_normal((n, c)) * 3, draw.standard_normal((n, c)) * 3
    labels = np.array([0, 6, -100, 2, 1, -100, 3, 3, 5, 4, 0])
    soft, ones = draw.dirichlet(np.ones(c), n), torch.ones(n, dtype=torch.float64)
    found: Tensors = {"labels": labels, "probabilities": soft, "teacher": other}
    found |= with_gradients(
        "cross_entropy", lambda z: F.cross_entropy(z, tensor(labels), ignore_index=-100), z=z
    )
    found |= with_gradients("soft_cross_entropy", lambda z: F.cross_entropy(z, tensor(soft)), z=z)
    for temperature in (1, 2, 8):
        found |= with_gradients(
            f"soft_label_kl.{temperature}",
            lambda z, t=temperature: (
                F.kl_div(F.log_softmax(z / t, -1), F.softmax(tensor(other) / t, -1), reduction="batchmean")
                * t**2
            ),
            z=z,
        )
    found |= with_gradients("cosine", lambda z: F.cosine_embedding_loss(z, tensor(other), ones), z=z)
    found |= with_gradients("mean_squared_error", lambda z: F.mse_loss(z, tensor(other)), z=z)
    return found | with_gradients(
        "binary_cross_entropy", lambda z: torch.nn.BCEWithLogitsLoss()(z, tensor(soft)), z=z
    )


def objectives_file() -> Tensors:
    """What papers on distillation define, on student and teacher of unequal widths where they allow it."""
    draw = rng("objectives")
    narrow, wide, heads, relation_heads = 8, 12, 2, 4
    lengths = LENGTHS.tolist()
    qkv, teacher_qkv = (draw.standard_normal((sum(lengths), 3 * width)) * 1.5 for width in (narrow, wide))
    n, labels = 9, [0, 1, 0, 2, 1, 1, 0, 3, 1]  # two have nobody else of their class
    x, other, hidden = (draw.standard_normal((n, width)) * 2 for width in (narrow, narrow, wide))
    projection = draw.standard_normal((wide, narrow))
    found: Tensors = {"labels": np.array(labels), "teacher": other, "wide_teacher": hidden}
    found |= {"lengths": LENGTHS, "teacher_qkv": teacher_qkv}
    margins = {"euclidean": 1.0, "squared_euclidean": 4.0, "cosine": 0.2}
    for distance, margin in margins.items():
        for mining in ("batch_hard", "all"):
            name, constants = f"triplet.{distance}.{mining}", (labels, margin, distance, mining)
            found |= with_gradients(name, definitions.triplet, constants, x=x)
            found[f"{name}.margin"] = np.array(margin)
    found |= with_gradients("logits_mse", definitions.logits_mse, (tensor(other),), x=x)
    found |= with_gradients(
        "hidden_mse", definitions.hidden_mse, (tensor(hidden),), x=x, projection=projection
    )
    found |= with_gradients("patient", definitions.patient, (tensor(other),), x=x)
    theirs = (tensor(teacher_qkv), lengths)
    found |= with_gradients("attention_scores", definitions.tinybert_attention, (*theirs, heads), x=qkv)
    found |= with_gradients("attention_probabilities", definitions.relation, (*theirs, heads, (0, 1)), x=qkv)
    for relations in ("v", "qkv"):
        found |= with_gradients(
            f"relations.{relations}", definitions.minilm_v2, (*theirs, relation_heads, relations), x=qkv
        )
    return found | {"heads": np.array(heads), "relation_heads": np.array(relation_heads)}


def files() -> dict[str, tuple[Tensors, dict[str, Any]]]:
    """{name: (tensors, what the metadata says besides the versions)}"""
    made: dict[str, tuple[Tensors, dict[str, Any]]] = {}
    for family, config in CONFIGS.items():
        made[f"family.{family}"] = family_file(family), {"config": config}
    for name, (family, class_name, changes, _) in CASES.items():
        made[name] = case_file(name), {"family": family, "class": class_name, "changes": changes}
    settings = {"steps": STEPS, "warmup": WARMUP, "clip": CLIP, **ADAMW}
    for name in ("BertForMaskedLM", "DistilBertForSequenceClassification"):
        made[f"trajectory.{name}"] = trajectory_file(name), settings
    made["distillation"] = distillation_file(), {"temperature": TEMPERATURE, "weights": WEIGHTS}
    settings = {"steps": RECIPE_STEPS, "warmup": RECIPE_WARMUP, "clip": RECIPE_CLIP, **RECIPE}
    made["trajectory.distillation"] = (
        recipe_file(),
        {"temperature": TEMPERATURE, "weights": WEIGHTS, **settings},
    )
    made["operations"] = operations_file(), {"lengths": LENGTHS.tolist(), "heads": HEADS}
    made["losses"] = losses_file(), {}
    made["objectives"] = objectives_file(), {}
    return made


def main(directory: Path) -> None:
    torch.set_num_threads(1)  # the order of sums must not depend on the machine's cores
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    total = 0
    for name, (tensors, about) in files().items():
        path = directory / f"{name}.safetensors"
        # One metadata key: safetensors writes several in no fixed order.
        note = json.dumps({"version": VERSION, "made_with": versions, **about}, sort_keys=True)
        save_file({k: np.array(v, order="C") for k, v in tensors.items()}, path, metadata={"golden": note})
        size = path.stat().st_size
        total += size
        print(f"{path.name:58} {len(tensors):4} tensors {size / 1e3:8.1f} kB")
    print(f"{'total':58} {total / 1e6:21.2f} MB, format {VERSION}, made with", end=" ")
    print(", ".join(f"{package} {version}" for package, version in versions.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
