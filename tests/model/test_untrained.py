"""Parameters that a file lacks: a model with a new head is there to be trained, and answers nothing yet."""

import json
import logging

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil import SentenceEncoder, load_model, pipeline
from minidistil.cli.main import main
from minidistil.distill.objective import Distillation
from minidistil.distill.teacher_cache import TeacherCache
from minidistil.errors import ConfigError, WeightsError
from minidistil.model import MODELS, load_to_answer
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.verify.compare import capture
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

TEXT = "the warm [MASK] is dull"
TAGS = {0: "O", 1: "B-PER", 2: "I-PER"}
IDS = {"input_ids": np.array([[2, 7, 9, 3]])}
HEADS = {
    "BertForSequenceClassification": ("text-classification", "classifier.weight"),
    "BertForTokenClassification": ("token-classification", "classifier.bias"),
    "BertForQuestionAnswering": ("question-answering", "qa_outputs.weight"),
    "BertForMaskedLM": ("fill-mask", "cls.predictions.transform.dense.weight"),
    "BertForMultipleChoice": ("multiple-choice", "bert.pooler.dense.weight"),
    "DistilBertForSequenceClassification": ("text-classification", "pre_classifier.bias"),
    "DistilBertForMaskedLM": ("fill-mask", "vocab_layer_norm.weight"),
}


def make(directory, kind, drop=(), rename=("", ""), **config):
    """A saved model, whose file then lacks some tensors or has others under another name."""
    config = {**({"id2label": TAGS} if "Token" in kind else {"id2label": LABELS}), **config}
    family = MODELS[kind].config_class
    shape = {name: getattr(CONFIG, name) for name in ("vocab_size", "hidden_size", "max_position_embeddings")}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = MODELS[kind](family(**shape, initializer_range=0.3, **config), seed=5)
    model.save_pretrained(directory, tokenizer=make_tokenizer(directory / "vocabulary"))
    path = directory / "model.safetensors"
    tensors = {name: np.array(values) for name, values in SafetensorsFile(path).items()}
    write_safetensors(
        path, {k.replace(*rename): v for k, v in tensors.items() if not k.startswith(tuple(drop))}
    )
    return directory


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_is_not_in_the_file_answers_nothing(tmp_path, kind):
    task, name = HEADS[kind]
    make(tmp_path, kind, drop=[name])
    with pytest.raises(WeightsError, match=rf"{tmp_path} lacks {name}: this {kind} would answer from random"):
        pipeline(task, tmp_path)
    make(tmp_path, kind, rename=(name, f"own_{name}"))
    with pytest.raises(WeightsError, match=rf"lacks {name} \(nearest in the file: own_{name}"):
        pipeline(task, tmp_path, mapped=True)


def test_who_does_not_ask_a_head_needs_none(tmp_path):
    make(tmp_path / "encoder", "BertModel", drop=["pooler"])
    text = ["the warm film"]
    whole = SentenceEncoder.from_pretrained(make(tmp_path / "whole", "BertModel")).encode(text)
    assert (SentenceEncoder.from_pretrained(tmp_path / "encoder").encode(text) == whole).all()
    both = make(tmp_path / "both", "BertForPreTraining", drop=["cls.seq_relationship", "bert.pooler"])
    assert len(pipeline("fill-mask", both)(TEXT)) == 1
    with pytest.raises(WeightsError, match=r"lacks cls\.predictions\.bias"):
        pipeline("fill-mask", make(both, "BertForPreTraining", drop=["cls.predictions.bias"]))


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "M", "the warm film"],
        ["evaluate", "M", "--task", "sst2", "--data", "F"],
        ["compare", "M", "--backend-b", "numpy", "--text", "the film"],
        ["explain", "M", "G", "--text", "the film"],
        ["explain", "G", "M", "--text", "the film"],
        ["finetune", "G", "--task", "sst2", "--train", "F", "--distill-from", "M", "--out", "O"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_no_verb_takes_what_nobody_has_trained(tmp_path, capsys, command):
    places = {
        "M": make(tmp_path / "m", "BertForSequenceClassification", rename=("classifier.", "score.")),
        "G": make(tmp_path / "g", "BertForSequenceClassification"),
        "F": tmp_path / "f.tsv",
        "O": tmp_path / "out",
    }
    places["F"].write_text("sentence\tlabel\nthe warm film\t1\nthe dull plot\t0\n")
    assert main([str(places.get(word, word)) for word in command]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "lacks classifier.weight (nearest in the file: score.weight), classifier.bias" in said


def test_what_is_new_is_said_once_to_whoever_trains_it(tmp_path, caplog, capsys):
    path = make(tmp_path / "m", "BertForSequenceClassification", rename=("classifier.", "score."))
    caplog.set_level(logging.INFO, "minidistil")
    load_model(path)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == (
        f"{path}: new, at random until they are trained: classifier.weight (nearest in the file: "
        f"score.weight), classifier.bias (nearest in the file: score.bias); not used, since the model has no "
        f"place for them: score.bias, score.weight"
    )
    caplog.clear()
    load_model(path, quiet=True)
    load_model(make(tmp_path / "whole", "BertForSequenceClassification"))
    assert not caplog.records
    # Pretrained heads that the new model lacks are nothing to speak of, nor are they taken for the new one.
    words = make(tmp_path / "words", "BertForMaskedLM")
    MODELS["BertForTokenClassification"].from_pretrained(words)
    assert caplog.messages == [
        f"{words}: new, at random until they are trained: classifier.weight, classifier.bias"
    ]


def test_training_ends_it_and_saving_does_not(tmp_path):
    kind = MODELS["BertForSequenceClassification"]
    path = make(tmp_path / "m", "BertForSequenceClassification", drop=["classifier"])
    model = kind.from_pretrained(path, quiet=True)
    assert model.untrained() == ("classifier.weight", "classifier.bias")
    model.save_pretrained(tmp_path / "saved")
    assert not any("classifier" in name for name in SafetensorsFile(tmp_path / "saved" / "model.safetensors"))
    _, grads = model.loss_and_grads([[2, 7, 3]], labels=[1])
    model.check_trained([])
    with pytest.raises(WeightsError):
        model.check_trained()
    model.train().params.flat[...] -= 0.1 * grads.flat
    model.check_trained()
    assert model.untrained() == ()
    model.save_pretrained(tmp_path / "saved", tokenizer=Tokenizer.from_pretrained(path))
    assert pipeline("text-classification", tmp_path / "saved")("the film")


def test_a_trainer_s_model_is_trained_however_small_its_steps(tmp_path):
    path = make(tmp_path / "m", "BertForSequenceClassification", drop=["classifier"])
    model = MODELS["BertForSequenceClassification"].from_pretrained(path, quiet=True)
    data = Dataset.from_texts(Tokenizer.from_pretrained(path), ["the film"]).with_targets(
        labels=np.array([1])
    )
    settings = TrainSettings(lr=1e-30, epochs=1, batch_size=1)
    Trainer(model, ModelLoss(model), data, settings=settings, quiet=True).train()
    assert model.untrained() == ()
    model.save_pretrained(tmp_path / "saved")
    assert "classifier.weight" in SafetensorsFile(tmp_path / "saved" / "model.safetensors")


def test_teachers(tmp_path):
    path = make(tmp_path / "m", "BertForSequenceClassification", drop=["bert.pooler"])
    teacher = load_to_answer(path)
    student = load_model(make(tmp_path / "s", "BertForSequenceClassification"))
    for weights in ({"soft": 1.0}, {"logits": 1.0, "cosine": 1.0}):
        with pytest.raises(WeightsError, match=r"lacks bert\.pooler\.dense\.weight"):
            Distillation(student, weights, teacher=teacher)
    Distillation(student, {"hard": 1.0, "cosine": 1.0}, teacher=teacher)  # states of the encoder alone
    data = Dataset.from_texts(Tokenizer.from_pretrained(path), ["the film"])
    with pytest.raises(WeightsError, match=r"lacks bert\.pooler\.dense\.weight"):
        TeacherCache(teacher, data, tmp_path / "cache", ["logits"])
    TeacherCache(teacher, data, tmp_path / "cache", ["pooled.mean", "hidden_states.1"])


def test_comparing(tmp_path):
    path = make(tmp_path / "m", "DistilBertForQuestionAnswering", drop=["qa_outputs.bias"])
    with pytest.raises(WeightsError, match=r"lacks qa_outputs\.bias"):
        capture(load_model(path, quiet=True), IDS)
    path = make(tmp_path / "encoder", "BertModel", drop=["pooler"])
    found = capture(load_model(path, quiet=True), IDS)
    whole = capture(load_model(make(tmp_path / "whole", "BertModel")), IDS)
    lacking = {
        "pooler_output",
        "cotangent.pooler_output",
        "grad.pooler.dense.weight",
        "grad.pooler.dense.bias",
    }
    assert found.keys() == whole.keys() - lacking
    assert (found["last_hidden_state"] == whole["last_hidden_state"]).all()


def test_explaining_states_asks_no_head(tmp_path, capsys):
    encoder = str(make(tmp_path, "BertModel", drop=["pooler"]))
    assert main(["explain", encoder, encoder, "--text", "the film", "--term", "cosine=1"]) == 0
    assert "cosine" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "_orig_mod.module."])
@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertModel"])
def test_what_a_wrapper_put_before_every_name_is_taken_off(tmp_path, kind, prefix):
    want = load_model(make(tmp_path, kind))
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {prefix + name: np.array(v) for name, v in SafetensorsFile(path).items()})
    model = load_model(tmp_path, strict=True)
    assert (model.params.flat == want.params.flat).all()
    assert f"renamed: {prefix!r} was taken off every name" in str(model.load_report)


@pytest.mark.parametrize("rename", [("bert.", "roberta."), ("bert.", "model.bert."), ("bert.", "a.bert.")])
def test_another_prefix_is_named(tmp_path, rename):
    """That of another family, one that some names lack, or an unknown one: it may be another kind of file."""
    make(tmp_path, "BertForSequenceClassification", rename=rename)
    prefix = rename[1].removesuffix("bert.") if rename[1] != "roberta." else "roberta."
    with pytest.raises(WeightsError, match=rf"In the file the names of the encoder begin with '{prefix}'"):
        load_model(tmp_path)


def edit(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("named", [None, [], ["JointBERT"]])
@pytest.mark.parametrize(
    "kind", ["BertModel", "BertForMaskedLM", "DistilBertForQuestionAnswering", "DistilBertForMaskedLM"]
)
def test_a_config_that_names_no_class_is_told_by_the_tensors(tmp_path, kind, named):
    edit(make(tmp_path, kind), architectures=named)
    assert type(load_model(tmp_path)).__name__ == kind


@pytest.mark.parametrize("named", [None, ["JointBERT"]])
def test_a_config_that_names_no_class_where_tensors_do_not_tell(tmp_path, named, capsys):
    kind = "BertForSequenceClassification"
    want = pipeline("text-classification", make(tmp_path, kind))("the warm film")
    edit(tmp_path, architectures=named)
    with pytest.raises(ConfigError, match=r"--task.* one of BertModel, .*BertForSequenceClassification"):
        load_model(tmp_path)
    assert pipeline("text-classification", tmp_path)("the warm film") == want
    assert SentenceEncoder.from_pretrained(tmp_path).encode(["the warm film"]).shape == (
        1,
        CONFIG.hidden_size,
    )
    assert main(["inspect", str(tmp_path)]) == 0
    assert "BertModel" in capsys.readouterr().out
    assert main(["predict", str(tmp_path), "--task", "text-classification", "the warm film"]) == 0
    assert main(["plan", str(tmp_path), "--length", "8"]) == 0


def test_inspect_opens_what_has_no_head(tmp_path, capsys):
    make(tmp_path, "BertForSequenceClassification", rename=("classifier.", "score."))
    assert main(["inspect", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "newly initialised: classifier.weight, classifier.bias" in said.out
    assert "score.weight" in said.out
    assert not said.err
