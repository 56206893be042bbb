"""`repr` and `dir` of everything that the package offers: a few lines, and no array in full."""

import importlib
import inspect

import numpy as np
import pytest
from tiny import CONFIG, make_classifier, make_encoder, make_tokenizer, random_dataset

import minidistil
from minidistil import AdamW, Batch, Dropout, SentenceEncoder, Trainer, TrainSettings, pipeline
from minidistil.cli.main import main
from minidistil.distill import Distillation, DistillationTrainer, TeacherCache, TeacherMean
from minidistil.embeddings.layers import Dense, Normalize
from minidistil.model import BertForMaskedLM, BertForSequenceClassification, load_model
from minidistil.parameters import Parameters
from minidistil.text.dataset import MultipleChoiceDataset
from minidistil.train.objective import ModelLoss

PACKAGES = ["distill", "embeddings", "losses", "metrics"]
LINES, CHARACTERS = 14, 1500
ENTRIES = [("the film is warm", "good"), ("the plot is dull", "bad")]


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """An object of each public class, big enough that its arrays in full would be seen; and some besides."""
    here = tmp_path_factory.mktemp("objects")
    tokenizer, classifier, encoder = make_tokenizer(here / "v"), make_classifier(here), make_encoder(here)
    model, teacher = load_model(classifier).train(), load_model(classifier)
    data = random_dataset(300, words=20, labels=np.arange(300) % 2)
    settings = TrainSettings(epochs=1)
    batch = data.batch(np.arange(100))
    found = [
        tokenizer,
        tokenizer.encode(["a film"] * 300),
        tokenizer(["a film"] * 300),
        data,
        data.with_token_targets(tags=np.zeros(data.num_tokens, np.int64)),
        MultipleChoiceDataset(data, np.arange(0, 302, 2), {"labels": np.zeros(150, np.int64)}),
        batch,
        model,
        model.params,
        model.load_report,
        model([[2, 5, 3]] * 100, output_hidden_states=True, labels=[0] * 100),
        BertForMaskedLM(CONFIG),
        SentenceEncoder.from_pretrained(encoder),
        pipeline("text-classification", classifier, top_k=None),
        pipeline("faq", encoder, entries=ENTRIES, threshold=0.5),
        pipeline("summarization", encoder),
        settings,
        AdamW(model.params, model.backend, lr=1e-3),
        Dropout(0, 1),
        ModelLoss(model),
        Trainer(model, ModelLoss(model), data, settings=settings),
        DistillationTrainer(model, teacher, data, weights={"soft": 0.5, "hard": 0.5}, settings=settings),
        Distillation(load_model(classifier).train(), {"soft": 0.5, "hidden": 0.5}, teacher=teacher),
        TeacherCache(teacher, data, here / "kept", ["logits"], quiet=True),
        TeacherMean([lambda batch: {}], teacher.heads[0], 2.0),
        minidistil.MinidistilError("no"),
    ]
    return {type(thing).__name__: thing for thing in found}


def public_classes():
    """Classes under the public names of the package and of those below it."""
    found = {}
    for module in [minidistil, *(importlib.import_module(f"minidistil.{name}") for name in PACKAGES)]:
        for name in module.__all__:
            if inspect.isclass(thing := getattr(module, name)):
                found[thing.__name__] = thing
    return found


def test_every_public_class_is_among_the_objects(objects):
    """But for configs, whose fields are all there is, results of functions, which are tuples, and models."""
    for name, kind in public_classes().items():
        shown = name in objects or any(isinstance(thing, kind) for thing in objects.values())
        plain = issubclass(kind, (tuple, BaseException)) or name.endswith("Config")
        model = hasattr(kind, "from_pretrained") and "__repr__" not in vars(kind)
        assert shown or plain or model, f"{name}: make one in `objects`"


def test_a_few_lines(objects):
    for name, thing in objects.items():
        text = repr(thing)
        assert "object at 0x" not in text, name
        assert len(text) < CHARACTERS, (name, text)
        assert len(text.splitlines()) <= LINES, (name, text)
        assert name in text or text.startswith("{"), (name, text)
        assert f"{thing}" == str(thing)


def test_what_is_said(objects):
    for name, words in {
        "Dataset": ["300 examples", "labels int64 [300]", "tags int64 ["],
        "Batch": ["100 sequences", "width 11", "labels int64 [100]"],
        "MultipleChoiceDataset": ["150 examples", "300 sequences"],
        "BertForSequenceClassification": [
            "(bert)", "6 of width 24", "negative, positive", "float32, backend numba; to be trained",
        ],
        "Parameters": ["tensors", "float32"],
        "LoadReport": ["tensors loaded"],
        "ModelOutput": ["logits=float32 [100, 2]", "hidden_states=7 of float32 [100, 3, 24]", "loss="],
        "SentenceEncoder": ["24 numbers, pooling mean, length 1, compared by cosine", "up to 24 tokens"],
        "Predictor": ["classification", "text and text_pair", "top_k=None", "negative, positive"],
        "NearestPredictor": ["faq", "2 with 2 labels", "below 0.5"],
        "Trainer": ["BertForSequenceClassification", "300 examples", "step 0 of 10"],
        "DistillationTrainer": ["BertForSequenceClassification", "step 0 of 10"],
        "Distillation": ["soft 0.5", "hidden 0.5"],
        "TeacherCache": ["logits", "300 examples"],
        "TeacherMean": ["1 teachers", "T = 2"],
        "AdamW": ["lr=0.001", "tensors, 0 steps"],
        "Tokenizer": ["[CLS]", "tokens"],
        "BatchEncoding": ["'input_ids': <300 rows>"],
    }.items():  # fmt: skip
        for word in words:
            assert word in repr(objects[name]), (name, word, repr(objects[name]))
    assert "labels" not in repr(objects["BertForMaskedLM"]), "it has no classes"


def test_a_model_says_what_inspect_says(tmp_path, capsys):
    place = make_classifier(tmp_path)
    assert main(["inspect", str(place)]) == 0
    printed = capsys.readouterr().out.splitlines()
    rows = repr(load_model(place)).splitlines()
    assert [line for line in printed if line in rows] == rows[1:-1]
    assert rows[0] == "BertForSequenceClassification (bert)"
    assert rows[-1] == "  precision    float32, backend numba; read-only"
    assert repr(load_model(place, mapped=True)).endswith("some parameters in their file")
    frozen = load_model(place).train()
    frozen.freeze("*.embeddings.*")
    assert repr(frozen).endswith(f"; to be trained, 5 of {len(frozen.params)} tensors frozen")


def test_many_labels_are_not_all_shown():
    config = CONFIG.replace(id2label={i: f"intent {i}" for i in range(150)})
    text = repr(BertForSequenceClassification(config))
    assert "intent 7 and 142 more" in text
    assert "intent 8" not in text


@pytest.mark.parametrize("name", PACKAGES)
def test_completion(name):
    """`minidistil.Ber<Tab>`, and the packages with names of their own."""
    assert name in dir(minidistil)
    package = getattr(minidistil, name)
    assert package is importlib.import_module(f"minidistil.{name}")
    assert set(package.__all__) <= set(dir(package))
    assert {"BertModel", "BertConfig", "pipeline", "SentenceEncoder"} <= set(dir(minidistil))
    assert {"BertModel", "load_model"} <= set(dir(importlib.import_module("minidistil.model")))
    assert set(minidistil.__all__) <= set(dir(minidistil))


def test_nothing_is_said_of_what_there_is_not():
    assert "targets" not in repr(random_dataset(3))
    assert "targets" not in repr(Batch.from_sequences([[1, 2]]))
    assert repr(Parameters([])) == "Parameters(0 tensors, 0 numbers, float32)"


def test_an_encoder_with_further_layers(tmp_path):
    layers = (Dense(np.ones((5, 24), np.float32), None), Normalize())
    options = {"layers": layers, "prompts": {"query": "a "}, "normalize": False}
    text = repr(SentenceEncoder.from_pretrained(make_encoder(tmp_path), **options))
    for words in (
        "5 numbers, pooling mean, compared",
        "steps        Dense, Normalize",
        "'query'",
        "6 of width 24",
    ):
        assert words in text
