"""The same bits from kernels that were just compiled and from those of the cache.

`bits` computes gradients and answers of every class of model, a small fine-tuning and a small distillation.
As a program this runs it in processes of their own: with an empty cache, with the cache that it left, with
half of that cache, and twice at once with an empty one; for this processor, and as for lesser ones.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 160,
    "max_position_embeddings": 48,
}
PROCESSORS = {
    "avx2": {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+sse4.1,+ssse3,+sse3",
    },
    "plain": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


def sha(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[
        :12
    ]


def bits(dtypes=("float32",)):
    """Hashes of all that is computed here, by name."""
    from minidistil.distill.objective import Distillation
    from minidistil.model import MODELS, BertForSequenceClassification
    from minidistil.ops.dropout import Dropout
    from minidistil.text.dataset import Dataset
    from minidistil.train.objective import ModelLoss
    from minidistil.train.settings import TrainSettings
    from minidistil.train.trainer import Trainer

    rng, found = np.random.default_rng(0), {}
    ids, lengths = rng.integers(5, 300, (6, 40)), rng.integers(5, 41, 6)
    mask = (np.arange(40) < lengths[:, None]).astype(int)
    words, one = np.where(rng.random((6, 40)) < 0.3, ids, -100), rng.integers(0, 2, 6)
    targets = {
        "MaskedLM": {"labels": words},
        "SequenceClassification": {"labels": one},
        "TokenClassification": {"labels": rng.integers(0, 2, (6, 40))},
        "QuestionAnswering": {"start_positions": one, "end_positions": one + 3},
        "NextSentencePrediction": {"labels": one},
    }
    pretraining = {"labels": words, "next_sentence_label": one, "sentence_order_label": one}

    def build(cls, layers=1, dtype="float32", seed=1, **changes):
        return cls(cls.config_class(**SIZES, num_hidden_layers=layers, **changes), seed=seed, dtype=dtype)

    for dtype in dtypes:
        for name, cls in MODELS.items():
            given = targets.get(name.partition("For")[2])
            model = build(cls, dtype=dtype)
            if name.endswith("ForPreTraining"):
                given = {target: pretraining[target] for head in model.heads for target in head.target_names}
                if not model.heads[0].over_vocabulary:  # a yes or no for each token
                    given["labels"] = rng.integers(0, 2, (6, 40))
            if given is not None:
                for dropout in (None, Dropout(5, 0)):
                    loss, grads = model.loss_and_grads(ids, mask, dropout=dropout, **given)
                    found[f"{dtype} {name} gradient, dropout {dropout is not None}"] = sha(loss, grads.flat)
            elif "Choice" in name:  # of three examples with two choices each
                choices, real = ids.reshape(3, 2, 40), mask.reshape(3, 2, 40)
                loss, grads = model.loss_and_grads(choices, real, labels=one[:3])
                found[f"{dtype} {name} gradient"] = sha(loss, grads.flat)
                found[f"{dtype} {name} answers"] = sha(*model.eval()(choices, real).values())
                continue
            else:  # a bare encoder has no loss: the gradient of a fixed sum of its output
                outputs, cache = model.forward(model.pack(ids, mask))
                grads, u = model.params.like(), outputs["last_hidden_state"]
                model.backward(
                    {"last_hidden_state": np.cos(np.arange(u.size)).reshape(u.shape)}, cache, grads
                )
                found[f"{dtype} {name} gradient"] = sha(u, grads.flat)
            found[f"{dtype} {name} answers"] = sha(*model.eval()(ids, mask).values())
        for activation in ("gelu_new", "relu"):
            model = build(BertForSequenceClassification, dtype=dtype, hidden_act=activation)
            found[f"{dtype} {activation}"] = sha(model.loss_and_grads(ids, mask, labels=one)[1].flat)

    lengths = rng.integers(1, 48, 40)
    flat = rng.integers(5, 300, lengths.sum()).astype(np.int32)
    offsets, labels = np.concatenate([[0], np.cumsum(lengths)]), rng.integers(0, 2, 40)
    data = Dataset(flat, np.zeros_like(flat), offsets, np.arange(40), {"labels": labels})
    for job in ("fine-tuning", "distillation"):
        model = build(BertForSequenceClassification)
        teacher = build(BertForSequenceClassification, layers=2, seed=2).eval()
        weights = {"soft": 1.0, "hard": 1.0, "cosine": 1.0}
        objective = (
            ModelLoss(model) if job == "fine-tuning" else Distillation(model, weights, teacher=teacher)
        )
        Trainer(model, objective, data, settings=TrainSettings(max_steps=6, batch_size=8), quiet=True).train()
        found[job] = sha(model.params.flat)
    return found


def start(cache, **environment):
    """A process that prints its bits, with its kernels in `cache`."""
    return subprocess.Popen(
        [sys.executable, __file__, "bits"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment},
    )  # fmt: skip


def result(process):
    output = process.communicate()[0]
    if process.returncode:
        sys.exit(f"a process ended with {process.returncode}")
    return json.loads(output)


def main(processors):
    good = True
    for name in processors:
        given = PROCESSORS.get(name, {})
        with tempfile.TemporaryDirectory() as place:
            cache, other = Path(place) / "cache", Path(place) / "other"
            cold = result(start(cache, **given))
            for way in ("from the cache", "half from the cache", "two at once", "and after them"):
                if way == "half from the cache":
                    for file in sorted(cache.rglob("*.nbc"))[::2]:
                        file.unlink()
                if way == "two at once":
                    processes = start(other, **given), start(other, **given)
                else:
                    processes = [start(other if way == "and after them" else cache, **given)]
                for found in [result(process) for process in processes]:
                    wrong = [what for what in cold if cold[what] != found[what]]
                    good &= not wrong
                    print(f"{name:6} {way:20} {len(cold)} results, {len(wrong)} others {wrong[:3] or ''}")
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["bits"]:
        print(json.dumps(bits(("float32", "float64"))))
    else:
        sys.exit(main(sys.argv[1:] or ["own", *PROCESSORS]))
