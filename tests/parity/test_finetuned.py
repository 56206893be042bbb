"""What `finetune` leaves is a model for transformers; what transformers left is measured as by its logits."""

import json

import numpy as np
import pytest
import torch
import transformers
from parity_tools import their_config
from tiny import CONFIG, make_split, make_tokenizer
from transformers import AutoTokenizer

from minidistil import DistilBertConfig, metrics
from minidistil.batch import Batch
from minidistil.cli.main import main
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.model import BertModel, DistilBertModel, load_model
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer

SPLIT = make_split(train=40)
SIZES = {
    "vocab_size": CONFIG.vocab_size, "max_position_embeddings": CONFIG.max_position_embeddings,
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "Bert": (BertModel, CONFIG.replace(**SIZES)),
    "DistilBert": (DistilBertModel, DistilBertConfig(**SIZES)),
}
TAGS = ["O", "B-BAD", "I-BAD", "B-GOOD", "I-GOOD"]
# task: (its head, its problem_type, the names of its labels)
KINDS = {
    "sst2": ("SequenceClassification", "single_label_classification", ["negative", "positive"]),
    "multi-label": ("SequenceClassification", "multi_label_classification", ["0", "1"]),
    "regression": ("SequenceClassification", "regression", ["score"]),
    "token-classification": ("TokenClassification", None, TAGS),
    "squad": ("QuestionAnswering", None, None),
}


def write(task, place):
    """A file for the task."""
    texts, labels = SPLIT.train_texts, SPLIT.train_labels
    if task == "squad":
        path, paragraphs = place / "train.json", []
        for i, text in enumerate(texts):
            start = text.index(" is ") + 4
            answer = {"text": text[start:].split()[0], "answer_start": start}
            asked = {"id": str(i), "question": "the film", "answers": [answer]}
            paragraphs.append({"context": text, "qas": [asked]})
        path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    elif task == "token-classification":
        path = place / "train.txt"
        sentences = [
            "".join(f"{word} {'O' if i != 3 else ('B-GOOD' if label else 'B-BAD')}\n"
                    for i, word in enumerate(text.split()))
            for text, label in zip(texts, labels, strict=True)
        ]  # fmt: skip
        path.write_text("\n".join(sentences))
    else:
        path = place / "train.tsv"
        columns = {"sst2": "sentence\tlabel", "multi-label": "text\tlabels", "regression": "text\tscore"}[
            task
        ]
        rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
        path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def encode(tokenizer, questions=None):
    """A padded batch of transformers' tokenizer for the test texts."""
    texts = SPLIT.test_texts[:8]
    both = (texts,) if questions is None else (questions, texts)
    return tokenizer(*both, padding=True, return_tensors="pt")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", KINDS)
def test_what_finetune_leaves(task, family, tmp_path):
    kind, config = FAMILIES[family]
    head, problem, names = KINDS[task]
    kind(config, seed=7).save_pretrained(tmp_path / "encoder", tokenizer=make_tokenizer(tmp_path / "v"))
    recipe = load_recipe(FineTuningRecipe, changes=["train.max_steps=3", "data.max_length=24"])
    out = tmp_path / "out"
    FineTuning(str(tmp_path / "encoder"), task, write(task, tmp_path), recipe, out, quiet=True).run()

    said = json.loads((out / "config.json").read_text())
    assert said["architectures"] == [f"{family}For{head}"]
    assert said.get("problem_type") == problem
    if names is not None:
        assert said["id2label"] == {str(i): name for i, name in enumerate(names)}
        assert said["label2id"] == {name: i for i, name in enumerate(names)}
    ours = load_model(out, strict=True)
    theirs, loading = getattr(transformers, f"AutoModelFor{head}").from_pretrained(
        out, output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert type(theirs).__name__ == f"{family}For{head}"
    if names is not None:
        assert theirs.config.id2label == dict(enumerate(names))
    assert theirs.config.problem_type == problem

    tokenizer = AutoTokenizer.from_pretrained(out)
    questions = ["the film"] * 8 if task == "squad" else None
    inputs = encode(tokenizer, questions)
    mine = Tokenizer.from_pretrained(out).encode(
        questions or SPLIT.test_texts[:8], questions and SPLIT.test_texts[:8]
    )
    for i, ids in enumerate(mine.input_ids):
        np.testing.assert_array_equal(ids, inputs["input_ids"][i][inputs["attention_mask"][i] == 1])
    assert ("token_type_ids" in inputs) == (family == "Bert")
    with torch.inference_mode():
        expected = theirs.eval()(**inputs)
    batch = Batch.from_padded(**{name: ids.numpy() for name, ids in inputs.items()})
    found, _ = ours.forward(batch)
    real = inputs["attention_mask"].numpy() == 1
    for name in ("start_logits", "end_logits") if task == "squad" else ("logits",):
        logits = expected[name].numpy()
        rows = logits if head == "SequenceClassification" else logits[real]
        assert np.abs(rows).max() > 0.1
        np.testing.assert_allclose(found[name], rows, atol=1e-5)


def save_theirs(task, family, place):
    """A model of transformers with random weights and its tokenizer, saved by transformers."""
    head, problem, names = KINDS[task]
    labels = {} if names is None else {"id2label": dict(enumerate(names)), "problem_type": problem}
    config = their_config(FAMILIES[family][1].replace(**labels))
    torch.manual_seed(1)
    model = getattr(transformers, f"AutoModelFor{head}").from_config(config).eval()
    model.save_pretrained(place)
    make_tokenizer(place.parent / "v")
    AutoTokenizer.from_pretrained(place.parent / "v", config=config).save_pretrained(place)
    return model, AutoTokenizer.from_pretrained(place)


def logits_of(model, tokenizer, *texts):
    with torch.inference_mode():
        inputs = tokenizer(*texts, return_tensors="pt")
        return model(
            **{k: v for k, v in inputs.items() if k != "token_type_ids" or "Distil" not in str(type(model))}
        )


def of_labels(model, tokenizer, task):
    texts, labels = SPLIT.train_texts, np.array(SPLIT.train_labels)
    logits = np.concatenate([logits_of(model, tokenizer, text).logits.numpy() for text in texts])
    if task == "regression":
        pearson = np.corrcoef(labels, logits[:, 0])[0, 1]
        return {"pearson": pearson, "mse": ((logits[:, 0] - labels) ** 2).mean()}
    if task == "multi-label":
        right, said = np.eye(2)[labels] > 0, logits > 0
        return {"f1_micro": 2 * (right & said).sum() / (right.sum() + said.sum())}
    chosen = logits.argmax(1)
    matthews = np.corrcoef(labels, chosen)[0, 1]  # of two classes it is Pearson's
    return {"accuracy": (labels == chosen).mean(), "matthews": matthews}


def of_tags(model, tokenizer, task):
    gold, said = [], []
    for text, label in zip(SPLIT.train_texts, SPLIT.train_labels, strict=True):
        words = text.split()
        gold.append([("B-GOOD" if label else "B-BAD") if i == 3 else "O" for i in range(len(words))])
        tags = logits_of(model, tokenizer, text).logits[0, 1:-1].argmax(-1).tolist()
        of_word = tokenizer(text).word_ids()[1:-1]
        said.append([TAGS[tags[of_word.index(i)]] for i in range(len(words))])
    scores = metrics.entity_scores(gold, said, "IOB2", "lenient")
    return {"precision": scores.micro.precision, "recall": scores.micro.recall, "f1": scores.micro.f1}


def of_answers(model, tokenizer, task):
    gold, said = {}, {}
    for i, text in enumerate(SPLIT.train_texts):
        gold[str(i)] = [text[text.index(" is ") + 4 :].split()[0]]
        outputs = logits_of(model, tokenizer, "the film", text)
        encoding = tokenizer("the film", text, return_offsets_mapping=True)
        places = [t for t, part in enumerate(encoding.sequence_ids()) if part == 1]
        pairs = [(a, b) for a in places for b in places if a <= b < a + 30]
        start, end = max(
            pairs, key=lambda p: float(outputs.start_logits[0, p[0]] + outputs.end_logits[0, p[1]])
        )
        said[str(i)] = text[encoding["offset_mapping"][start][0] : encoding["offset_mapping"][end][1]]
    return metrics.squad_v1(gold, said)


MEASURED = {"token-classification": of_tags, "squad": of_answers}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", KINDS)
def test_what_transformers_left_is_measured(task, family, tmp_path, capsys):
    model, tokenizer = save_theirs(task, family, tmp_path / "theirs")
    expected = MEASURED.get(task, of_labels)(model, tokenizer, task)
    data = ["--task", task, "--data", str(write(task, tmp_path)), "--set", "data.max_length=24"]
    assert main(["evaluate", str(tmp_path / "theirs"), *data, "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert any(0 < abs(value) < 100 for value in expected.values()), "a number that says something"
