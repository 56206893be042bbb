"""Models, tokenizers, pipelines and encoders in a pickle: the same answers, and each parameter once."""

import copy
import io
import multiprocessing
import pickle

import joblib
import numpy as np
import pytest
from tiny import CONFIG, make_classifier, make_encoder, make_tokenizer

from minidistil import Dataset, SentenceEncoder, Tokenizer, pipeline
from minidistil.errors import UsageError
from minidistil.model import BertForSequenceClassification, load_model, model_classes
from minidistil.ops.dropout import Dropout
from minidistil.train.optimizer import AdamW

TEXTS = ["the warm film", "a dull plot with the tired cast", ""]
IDS = np.array([[2, 5, 14, 3], [2, 9, 3, 0]])
MASK = IDS > 0


def again(thing):
    return pickle.loads(pickle.dumps(thing))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pickle")


@pytest.fixture(scope="module")
def classifier(place):
    return make_classifier(place / "a")


@pytest.fixture(scope="module")
def encoder(place):
    return make_encoder(place / "b")


def same_bits(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("state", ["as loaded", "eval", "used", "train"])
@pytest.mark.parametrize("way", [again, copy.deepcopy])
def test_a_model_in_every_state(classifier, backend, mapped, state, way):
    model = load_model(classifier, backend=backend, mapped=mapped)
    if state in ("eval", "used"):
        model.eval()
    if state == "used":
        for _ in range(3):  # matrices are packed at their second use
            model(IDS, MASK)
    if state == "train":
        model.train()
        model.freeze("*.embeddings.*")
    other = way(model)
    expected = model(IDS, MASK)
    for _ in range(3):
        same_bits(other(IDS, MASK), expected)
    assert other.frozen == model.frozen
    assert other.config == model.config
    assert other.backend is model.backend
    assert other.load_report == model.load_report
    assert not other.params.mapped, "it does not depend on the file"


def test_it_stays_ready_to_predict_or_to_train(classifier):
    ready = again(load_model(classifier))
    assert ready.params.packed
    with pytest.raises(UsageError, match="call its train"):
        ready.params["classifier.bias"][:] = 1
    learning = again(load_model(classifier).train())
    learning.params["classifier.bias"][:] = 1
    assert learning.params.flat.ctypes.data % 64 == 0, "kernels read from cache lines on"


def test_gradients_and_steps_afterwards(classifier):
    """A frozen parameter stays, and the others learn as those of the model that was pickled."""
    model = load_model(classifier).train()
    model.freeze("*.embeddings.*")
    other = again(model)
    losses = []
    for learner in (model, other):
        optimizer = AdamW(learner.params, learner.backend, lr=0.1, frozen=learner.frozen)
        loss, grads = learner.loss_and_grads(IDS, MASK, dropout=Dropout(0, 1), labels=[0, 1])
        optimizer.step(grads)
        losses.append(loss)
    assert losses[0] == losses[1]
    same_bits(dict(model.params), dict(other.params))
    gradient = again(grads)
    same_bits(dict(gradient), dict(grads))


@pytest.mark.parametrize("name", model_classes())
def test_every_class(name):
    kind = model_classes()[name]
    size = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = kind.config_class(vocab_size=20, max_position_embeddings=8, **size)
    model = kind(config, dtype="float64", backend="numpy", seed=1)
    ids = IDS[None] if model.over_choices else IDS
    same_bits(again(model)(ids), model(ids))


@pytest.mark.parametrize("mapped", [False, True])
def test_each_parameter_is_there_once(tmp_path, mapped):
    config = CONFIG.replace(vocab_size=4000, hidden_size=64)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    model = load_model(tmp_path, mapped=mapped).eval()
    for _ in range(3):
        model(IDS, MASK)
    size = len(pickle.dumps(model))
    assert model.params.nbytes < size < 1.1 * model.params.nbytes


def test_new_parameters_stay_untrained(encoder):
    model = BertForSequenceClassification.from_pretrained(encoder, quiet=True)
    assert again(model).untrained() == model.untrained() != ()


def test_tokenizers(classifier, tmp_path):
    tokenizer = Tokenizer.from_pretrained(classifier)
    changed = make_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"split_special_tokens": true, "model_max_length": 5}')
    splitting = Tokenizer.from_pretrained(tmp_path)
    texts = [*TEXTS, "A [SEP] in a text"]
    variants = [tokenizer, changed, splitting, splitting.lowered(), tokenizer.with_max_length(4)]
    for one in [*variants, tokenizer.for_model(10)]:
        for other in (again(one), copy.deepcopy(one), copy.copy(one)):
            fit = texts[2:3] if one.num_ids == 10 else texts
            for a, b in zip(one.encode(fit).input_ids, other.encode(fit).input_ids, strict=True):
                np.testing.assert_array_equal(a, b)
            assert other.content_hash() == one.content_hash()
            assert other.files() == one.files()
            assert (other.model_max_length, other.num_ids) == (one.model_max_length, one.num_ids)
    ids = [tok.encode(texts[3:], max_length=99).input_ids[0].tolist() for tok in (tokenizer, splitting)]
    assert ids[0] != ids[1], "the second splits a special token of a text"


def test_pipelines_and_encoders(classifier, encoder):
    entries = [("the film is warm", "good"), ("the plot is dull", "bad")]
    for predictor in (
        pipeline("text-classification", classifier, top_k=None),
        pipeline("faq", encoder, entries=entries),
        pipeline("summarization", encoder),
    ):
        for other in (again(predictor), copy.deepcopy(predictor)):
            assert other(TEXTS[:2]) == predictor(TEXTS[:2])
    for options in ({}, {"pooling": "cls+max", "lower_case": True, "prompts": {"query": "a "}}):
        first = SentenceEncoder.from_pretrained(encoder, **options)
        np.testing.assert_array_equal(again(first).encode(TEXTS), first.encode(TEXTS))
        assert again(first).settings == first.settings


def test_datasets_and_batches(classifier):
    tokenizer = Tokenizer.from_pretrained(classifier)
    data = Dataset.from_texts(tokenizer, TEXTS, labels=[0, 1, 1])
    assert again(data).content_hash() == data.content_hash()
    np.testing.assert_array_equal(again(data.batch([2, 0])).input_ids, data.batch([2, 0]).input_ids)


def test_joblib(classifier, tmp_path):
    predictor = pipeline("text-classification", classifier)
    joblib.dump(predictor, tmp_path / "predictor.joblib")
    assert joblib.load(tmp_path / "predictor.joblib")(TEXTS) == predictor(TEXTS)


def test_a_process_that_was_spawned(classifier):
    predictor = pipeline("text-classification", classifier, backend="numpy")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(len, [TEXTS]) == [3]
        (found,) = pool.map(predictor, [TEXTS])
    assert found == predictor(TEXTS)


def test_a_pickle_names_code_of_the_package_and_of_its_libraries_alone(classifier):
    """A loaded pickle runs classes and functions of these modules, and no other."""

    seen = set()

    class Names(pickle.Unpickler):
        def find_class(self, module, name):
            seen.add(module.partition(".")[0])
            return super().find_class(module, name)

    Names(io.BytesIO(pickle.dumps(pipeline("text-classification", classifier)))).load()
    assert seen <= {"minidistil", "numpy", "tokenizers", "pathlib", "builtins", "copyreg", "_codecs"}
