"""minidistil compare: it names the operation that differs, from numbers in whatever form they come."""

import json

import numpy as np
import pytest
from plain_bert import PlainBert
from tiny import make_classifier

from minidistil.cli import compare as verb
from minidistil.cli.main import main
from minidistil.model import BertForSequenceClassification
from minidistil.text.tokenizer import Tokenizer
from minidistil.verify.operations import tap_of
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

TEXTS = ["the film is warm", "a dull plot"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(
        make_classifier(tmp_path_factory.mktemp("compare"), num_hidden_layers=2, initializer_range=0.3)
    )


@pytest.fixture
def say(capsys):
    """`say(...)`: the exit code, standard output and standard error."""

    def run(*arguments):
        code = main(["compare", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def plain(model):
    """`plain(fault)`: tensors of another implementation, with the inputs."""

    def tensors(fault=""):
        net = BertForSequenceClassification.from_pretrained(model, backend="numpy", dtype="float64")
        encoded = Tokenizer.from_pretrained(model).encode(TEXTS)
        rows = [np.asarray(ids) for ids in encoded.input_ids]
        width = max(map(len, rows))
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        ids = np.array([[*row, *[0] * (width - len(row))] for row in rows])
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            **PlainBert(net, net.pack(ids, mask), fault=fault).rectangular(),
        }

    return tensors


def test_the_operation_and_its_numbers(model, plain, say, tmp_path):
    write_safetensors(tmp_path / "x.safetensors", plain("no scale"))
    code, out, _ = say(model, tmp_path / "x.safetensors")
    assert code == 1
    lines = out.splitlines()
    assert "the first divergence is layer.0.attention.scores" in out
    assert "that is layer 0, attention scores, q k^T / sqrt(D)" in lines
    assert "computed from layer.0.attention.q and layer.0.attention.k, which agree" in lines
    where = next(line for line in lines if line.startswith("largest difference: "))
    assert where.startswith("largest difference: sequence ")
    assert any(
        f"({word})" in where for word in ("the", "film", "is", "warm", "a", "dull", "plot", "[CLS]", "[SEP]")
    )
    a, b = (line.split() for line in lines[-2:])
    assert (a[0], b[0]) == ("A", "B")
    np.testing.assert_allclose(np.array(a[1:], float) * 12**0.5, np.array(b[1:], float), rtol=1e-3)
    assert lines[-3].count("*") == 1
    # The layer of the divergence is opened, the next is one line.
    assert [line.split()[0] for line in lines if line.startswith("layer.")] == [
        f"layer.0.{name}" for name in ("attention.input", "attention.q", "attention.k", "attention.v",
        "attention.scores", "attention.probabilities", "attention.context", "attention.output",
        "attention.residual", "attention.norm", "feed_forward.input", "feed_forward.up",
        "feed_forward.activated", "feed_forward.output", "feed_forward.residual", "feed_forward.norm")
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith("inside layer 1 ")]) == 1
    assert not [line for line in lines if len(line) > 160]


def test_json_has_all_of_it(model, plain, say, tmp_path):
    write_safetensors(tmp_path / "x.safetensors", plain("tanh in place of erf"))
    code, out, _ = say(model, tmp_path / "x.safetensors", "--json", "--dtype", "float64")
    found = json.loads(out)
    assert code == 1
    assert found["tolerance"] == 1e-9
    assert found["first_divergence"] == "layer.0.feed_forward.activated"
    assert found["operation"]["what"] == "layer 0, activation"
    assert found["operation"]["inputs_that_agree"] == ["layer.0.feed_forward.up"]
    assert found["operation"]["where"].startswith("sequence ")
    row = next(t for t in found["tensors"] if t["name"] == found["first_divergence"])
    sequence, token, column = row["largest"]["index"]
    assert row["largest"]["where"].startswith(f"sequence {sequence}, token {token}")
    assert len(row["largest"]["a"]) == len(row["largest"]["b"]) <= 7
    assert row["largest"]["first"] == max(0, column - 3)
    assert all((t["largest"] is None) == t["passed"] for t in found["tensors"])


@pytest.mark.parametrize("form", ["npz", "folder", "one by one", "float16", "modules", "heads apart"])
def test_numbers_in_other_forms(model, plain, say, tmp_path, form):
    tensors = plain()
    sources, extra = [tmp_path / "x.npz"], []
    if form == "float16":
        tensors = {k: np.float16(v) if v.dtype.kind == "f" else v for k, v in tensors.items()}
    elif form == "modules":
        net = BertForSequenceClassification.from_pretrained(model)
        tensors = {net.taps().get(k) or k: v for k, v in tensors.items()}
        assert "bert.encoder.layer.0.attention.self.query" in tensors
        for i in range(2):
            tensors[f"attentions.{i}"] = tensors.pop(f"layer.{i}.attention.probabilities")
    elif form == "heads apart":
        for k in [k for k in tensors if k.endswith((".q", ".k", ".v", ".context"))]:
            tensors[k] = tensors[k].reshape(*tensors[k].shape[:2], 2, 12).transpose(0, 2, 1, 3)
    if form == "folder":
        sources = [tmp_path / "numbers"]
        sources[0].mkdir()
        for k, v in tensors.items():
            np.save(sources[0] / f"{k}.npy", np.asfortranarray(v))
    elif form == "one by one":
        np.save(tmp_path / "a.npy", tensors["layer.1.attention.q"])
        np.save(tmp_path / "b.npy", tensors["layer.1.attention.scores"])
        sources = [
            f"layer.1.attention.q={tmp_path / 'a.npy'}",
            f"layer.1.attention.scores={tmp_path / 'b.npy'}",
        ]
        extra = ["--text", *TEXTS]
    else:
        np.savez(tmp_path / "x.npz", **tensors)
    code, out, _ = say(model, *sources, *extra, "--json")
    found = json.loads(out)
    assert code == 0, found["first_divergence"]
    assert found["only_in_b"] == []
    inside = [t["name"] for t in found["tensors"] if tap_of(t["name"])]
    assert len(inside) == (2 if form == "one by one" else 2 + 2 * 16 + 5)
    assert {t["tolerance"] for t in found["tensors"]} == ({2e-3} if form == "float16" else {1e-5})
    code, out, _ = say(model, *sources, *extra, "--tolerance", "1e-15")
    assert code == 1


def test_half_precision_is_said(model, plain, say, tmp_path):
    tensors = plain()
    tensors["layer.0.attention.q"] = np.float16(tensors["layer.0.attention.q"])
    np.savez(tmp_path / "x.npz", **tensors)
    code, out, _ = say(model, tmp_path / "x.npz")
    assert code == 0
    assert out.endswith("tensors agree within 1e-05, 1 stored in half precision within 2e-03\n")


def test_unknown_names_are_listed_each_with_the_nearest(model, plain, say, tmp_path):
    tensors = plain()
    tensors["layer.0.attention.querys"] = tensors["layer.0.atention.k"] = tensors["something"] = np.ones(3)
    tensors["bert.encoder.layer.0.attention.self.qury"] = np.ones(3)
    np.savez(tmp_path / "x.npz", **tensors)
    code, out, _ = say(model, tmp_path / "x.npz")
    assert code == 0
    assert "only in B, 4:\n" in out
    assert "\n  layer.0.atention.k (did you mean layer.0.attention.k?)\n" in out
    assert "\n  layer.0.attention.querys (did you mean layer.0.attention" in out
    assert (
        "\n  bert.encoder.layer.0.attention.self.qury "
        "(did you mean bert.encoder.layer.0.attention.self.query?)\n" in out
    )
    assert "\n  something\n" in out


def test_a_hint_where_only_layers_are_given(model, plain, say, tmp_path):
    tensors = {k: v for k, v in plain("no scale").items() if not tap_of(k)}
    np.savez(tmp_path / "x.npz", **tensors)
    code, out, _ = say(model, tmp_path / "x.npz")
    assert code == 1
    assert "the first divergence is hidden_states.1\n" in out
    assert "give numbers inside layer 0, such as layer.0.attention.q" in out
    assert "inside layer" not in out.replace("numbers inside layer", "")


def test_save_has_the_numbers_inside_and_their_gradients(model, say, tmp_path):
    saved = tmp_path / "x.safetensors"
    assert say(model, "--save", saved, "--text", *TEXTS) == (0, "", "")
    names = set(SafetensorsFile(saved))
    assert {"layer.1.attention.scores", "grad.layer.1.attention.scores", "grad.embeddings.sum"} <= names
    code, out, _ = say(model, saved, "--backend", "numpy", "--json")
    found = json.loads(out)
    assert code == 0, found["first_divergence"]
    assert (found["only_in_a"], found["only_in_b"]) == ([], [])
    assert {name for name in names if tap_of(name)} <= {t["name"] for t in found["tensors"]}
    assert say(model, "--save", saved, "--text", *TEXTS, "--no-taps")[0] == 0
    assert not [name for name in SafetensorsFile(saved) if tap_of(name)]
    assert say(model, "--save", saved, "--text", *TEXTS, "--taps", "layer.1.*.q", "pooler.*")[0] == 0
    assert [name for name in sorted(SafetensorsFile(saved)) if tap_of(name) and "grad." not in name] == [
        "layer.1.attention.q", "pooler.activated", "pooler.input", "pooler.output"
    ]  # fmt: skip


def test_two_models_are_compared_inside(model, say):
    code, out, _ = say(model, "--backend-b", "numpy", "--dtype-b", "float64", "--text", *TEXTS)
    assert code == 0
    for part in ("inside embeddings", "inside layer 1", "inside head", "gradients inside layer 0"):
        assert f"\n{part} " in out
    code, out, _ = say(model, "--backend-b", "numpy", "--text", *TEXTS, "--no-taps")
    assert code == 0
    assert "inside" not in out


def test_more_than_a_gigabyte_is_left_out_with_a_word(model, say, monkeypatch, caplog):
    monkeypatch.setattr(verb, "MOST", 1000)
    code, out, _ = say(model, "--backend-b", "numpy", "--text", *TEXTS)
    assert code == 0
    assert "inside" not in out
    assert caplog.text.count("would take 0.0 GB and are left out; --taps 'layer.0.*' takes some") == 1
    caplog.clear()
    code, out, _ = say(model, "--backend-b", "numpy", "--text", *TEXTS, "--taps", "layer.*")
    assert "inside layer 0" in out
    assert not caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--taps", "layer.7.*"], "no tap of BertForSequenceClassification matches 'layer.7.*'"),
        (["--taps", "x", "--no-taps"], "--taps and --no-taps exclude each other"),
    ],
)
def test_mistakes(arguments, message, model, say):
    code, _, err = say(model, "--backend-b", "numpy", "--text", *TEXTS, *arguments)
    assert code == 2
    assert message in err
