"""Models of the benchmark: a directory that exists is kept, and a random head predicts."""

from tiny import make_encoder

from benchmarks import models
from minidistil import BertForSequenceClassification, Tokenizer


def test_a_random_head_is_saved_and_predicts(tmp_path, monkeypatch):
    encoder = make_encoder(tmp_path)
    made = []

    def classifier():
        made.append(BertForSequenceClassification.from_pretrained(encoder, quiet=True, seed=0))
        return made[-1]

    monkeypatch.setattr(models, "MODELS", tmp_path / "models")
    monkeypatch.setattr(models, "MAKERS", {"minilm": classifier})
    for _ in range(2):
        models.save_models(Tokenizer.from_pretrained(encoder))
    assert len(made) == 1
    loaded = BertForSequenceClassification.from_pretrained(tmp_path / "models" / "minilm")
    loaded.check_trained()
    assert (loaded.params["classifier.weight"] == made[0].params["classifier.weight"]).all()
