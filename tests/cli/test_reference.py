"""minidistil reference, and minidistil compare with what it has written."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidistil.cli.main import main
from minidistil.model.families import FAMILIES
from minidistil.verify.operations import tap_of
from minidistil.verify.reference import heads_of, reference_model, write_reference
from minidistil.verify.reference_index import GRADIENTS, INDEX, INPUTS, VALUES
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.fixture
def say(capsys):
    """`say(...)`: the exit code, standard output and standard error."""

    def run(*arguments):
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "r"
    write_reference(path, "bert", "pre-training")
    return path


@pytest.fixture
def compared(reference, say, tmp_path):
    """`compared(tensors)`: exit code and JSON of a comparison of the reference with a file of tensors."""

    def run(tensors, *options):
        write_safetensors(tmp_path / "x.safetensors", tensors)
        code, out, _ = say("compare", reference, tmp_path / "x.safetensors", "--json", *options)
        return code, json.loads(out)

    return run


def tensors_of(directory, kind=np.float64):
    files = (SafetensorsFile(directory / file) for file in (VALUES, GRADIENTS))
    return {name: np.array(array, kind) for file in files for name, array in file.items()}


def order_of(directory):
    index = json.loads((directory / INDEX).read_text())
    return [entry["name"] for entry in index["tensors"] if "tolerance" in entry]


def test_it_says_what_it_has_written(say, tmp_path):
    code, out, err = say("reference", "--family", "bert", "--head", "bare", "--out", tmp_path / "r")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{tmp_path / 'r'}: BertModel, seed 0, float64"
    assert out.splitlines()[-1] == f"check yours: minidistil compare {tmp_path / 'r'} YOURS.safetensors"
    code, out, _ = say(
        "reference", "--family", "bert", "--out", tmp_path / "r", "--seed", 3,
        "--set", "hidden_act=relu", "--set", "num_hidden_layers=1", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "r" / INDEX).read_text())
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert (config["hidden_act"], config["num_hidden_layers"], config["dtype"]) == ("relu", 1, "float64")
    card = (tmp_path / "r" / "README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("    minidistil reference "))
    again = command.replace("DIR", str(tmp_path / "again")).replace("'", "").split()[1:]
    assert say(*again)[0] == 0
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("r", "again")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--family", "brt"], 2, "there is no family 'brt' (did you mean bert?)"),
        (["--family", "bert", "--head", "mlm"], 2, "bert has no head 'mlm'"),
        (["--family", "bert", "--seed", "-1"], 2, "the seed must be an integer of at least 0, not -1"),
        (["--family", "bert", "--set", "hidden_act"], 2, "--set hidden_act: expected KEY=VALUE"),
        (
            ["--family", "bert", "--set", "hiden_act=relu"],
            2,
            "BertConfig takes no field 'hiden_act' (did you ",
        ),
        (["--family", "bert", "--set", "extra=3"], 2, "BertConfig takes no field 'extra'"),
        (["--family", "bert", "--set", "vocab_size=1"], 3, "needs a word beside padding, and a position"),
        (["--family", "roberta", "--set", "max_position_embeddings=2"], 3, "and a position for it"),
        (["--family", "bert", "--set", "num_attention_heads=2"], 3, "15 is not a multiple of"),
        (["--family", "bert", "--set", "max_position_embeddings=0"], 3, "max_position_embeddings must be"),
    ],
)
def test_mistakes_are_named(say, tmp_path, arguments, code, message):
    found, out, err = say("reference", *arguments, "--out", tmp_path / "r")
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "r").exists()


def test_another_directory_is_left_alone(say, tmp_path):
    (tmp_path / "x").write_text("mine")
    code, _, err = say("reference", "--family", "bert", "--out", tmp_path)
    assert code == 3
    assert f"{tmp_path} is not empty, and holds no reference" in err
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("family", "head"), [(family, head) for family in FAMILIES for head in heads_of(family)], ids=str
)
def test_every_reference_agrees_with_itself(family, head, say, tmp_path):
    """Without padding: the rows of tokens alone."""
    path = tmp_path / "r"
    write_reference(path, family, head)
    tensors = tensors_of(path)
    inputs = dict(SafetensorsFile(path / INPUTS))
    mask = inputs["attention_mask"].reshape(-1, inputs["attention_mask"].shape[-1]) != 0
    packed = {name: v[mask] if v.shape[:2] == mask.shape else v for name, v in tensors.items()}
    assert any(packed[name].shape != tensors[name].shape for name in tensors)
    flat = {name.removeprefix("packed."): v for name, v in inputs.items() if name.startswith("packed.")}
    known = {name: v for name, v in flat.items() if name in inputs}
    write_safetensors(
        tmp_path / "y.safetensors", {**packed, **known, **inputs, **{"input_ids": flat["input_ids"]}}
    )
    code, out, _ = say("compare", path, tmp_path / "y.safetensors", "--json")
    found = json.loads(out)
    assert (code, found["only_in_a"], found["only_in_b"]) == (0, [], [])
    assert [t["name"] for t in found["tensors"]] == order_of(path)
    assert {t["max_abs"] for t in found["tensors"]} == {0}


STAGES = [
    "embeddings.sum", "embeddings.norm", "hidden_states.0", "layer.0.attention.q", "layer.0.attention.scores",
    "layer.0.attention.probabilities", "layer.1.feed_forward.activated", "pooler.activated", "transform.norm",
    "prediction_logits", "seq_relationship_logits", "loss", "grad.decoder.output",
    "grad.layer.1.attention.probabilities", "grad.layer.0.attention.k", "grad.embeddings.sum",
    "grad.cls.seq_relationship.bias", "grad.bert.encoder.layer.1.output.dense.weight",
    "grad.bert.embeddings.word_embeddings.weight", "grad.bert.embeddings.LayerNorm.weight",
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "kind"),
    [*((stage, np.float64) for stage in STAGES), *((stage, np.float32) for stage in STAGES[::6])],
)
def test_the_first_tensor_that_differs_is_named(stage, kind, reference, compared):
    """It and every tenth tensor after it are spoiled, at one number."""
    tensors, names = tensors_of(reference, kind), order_of(reference)
    norms = {name: np.linalg.norm(value) for name, value in tensors.items()}
    after = [
        name for name in names[names.index(stage) :: 10] if norms[name] > 1e-6
    ]  # not those of keys' biases
    for name in after:
        flat = tensors[name].reshape(-1)
        place = int(np.abs(flat).argmax())
        flat[place] += 0.01 * norms[name] * np.sign(flat[place])
    code, found = compared(tensors)
    assert code == 1
    assert found["first_divergence"] == stage
    assert [t["name"] for t in found["tensors"] if not t["passed"]] == after
    row = next(t for t in found["tensors"] if t["name"] == stage)
    assert row["relative"] == pytest.approx(0.01, rel=0.02)
    assert row["largest"]["index"] == [
        int(i) for i in np.unravel_index(int(np.abs(tensors[stage]).argmax()), tensors[stage].shape)
    ]
    assert found["agree_after"] == [n for n in names[names.index(stage) :] if n not in after]


def test_padding_may_hold_anything(reference, compared):
    tensors = tensors_of(reference)
    mask = SafetensorsFile(reference / INPUTS)["attention_mask"]
    for name, value in tensors.items():
        if value.shape[:2] == mask.shape and not (tap_of(name) and value.ndim == 4):
            value[mask == 0] = np.nan
    tensors["layer.0.attention.scores"][0, :, :, 7:] = -1e30
    inputs = dict(SafetensorsFile(reference / INPUTS))
    for name in ("input_ids", "token_type_ids", "labels"):
        tensors[name] = np.where(mask == 1, inputs[name], 3)
    assert compared(tensors)[0] == 0
    tensors["labels"][0, 0] = 7  # of a token: that is another loss
    code, found = compared(tensors)
    assert (code, found["other_loss"]) == (0, True)


@pytest.mark.parametrize(("kind", "limit"), [("float64", 1e-12), ("float32", 1e-4), ("float16", 2e-3)])
def test_the_tolerance_is_that_of_the_stored_type(kind, limit, reference, compared):
    code, found = compared(tensors_of(reference, kind))
    assert code == 0
    assert limit / 100 < max(t["tolerance"] for t in found["tensors"]) <= limit
    code, found = compared(tensors_of(reference, "float32"), "--tolerance", "1e-12")
    assert code == 1
    assert {t["tolerance"] for t in found["tensors"]} == {1e-12}


def test_transposes_are_recognised(reference, say, tmp_path):
    tensors = tensors_of(reference)
    wide, square = (
        f"grad.bert.encoder.layer.1.{name}.weight" for name in ("output.dense", "attention.output.dense")
    )
    some = {name: tensors[name] for name in ("loss", wide, square, "layer.0.attention.probabilities")}
    some[wide], some[square] = some[wide].T, some[square].T
    write_safetensors(tmp_path / "x.safetensors", some)
    code, out, _ = say("compare", reference, tmp_path / "x.safetensors")
    assert code == 1
    assert "FAILED: shape [15, 22] in A, [22, 15] in B, B is the transpose" in out
    line = next(line for line in out.splitlines() if line.startswith(square))
    assert line.endswith("FAILED: B is the transpose")
    assert f"the first divergence is {wide}" in out
    assert "transposed, B agrees" in out.splitlines()
    swapped = {"layer.0.attention.probabilities": some["layer.0.attention.probabilities"].swapaxes(2, 3)}
    write_safetensors(tmp_path / "x.safetensors", swapped)
    assert "B is the transpose (axes 2 and 3 swapped)" in say(
        "compare", reference, tmp_path / "x.safetensors"
    )[1]  # fmt: skip
    some[wide] = some[wide] * 1.1
    write_safetensors(tmp_path / "x.safetensors", {wide: some[wide]})
    assert "is the transpose" not in say("compare", reference, tmp_path / "x.safetensors")[1]


def test_a_part_of_the_tensors(reference, say, tmp_path):
    tensors = tensors_of(reference)
    some = {name: tensors[name] for name in list(tensors)[:3]}
    write_safetensors(tmp_path / "x.safetensors", {**some, "layer.0.attention.qq": tensors["loss"]})
    code, out, _ = say("compare", reference, tmp_path / "x.safetensors")
    assert code == 0
    lines = out.splitlines()
    assert any(
        line.startswith(f"3 of {len(tensors)} tensors of the reference compared; B lacks ") for line in lines
    )
    at = lines.index("only in B, 1:")
    assert lines[at + 1] == "  layer.0.attention.qq (did you mean layer.0.attention.q?)"
    assert lines[-1].startswith("all 3 tensors agree within their tolerances, ")


def test_other_names_are_known(reference, compared):
    tensors, index = tensors_of(reference), json.loads((reference / INDEX).read_text())
    modules = {t["name"]: t["module"] for t in index["tensors"] if t.get("module")}
    assert modules["layer.0.attention.q"] == "bert.encoder.layer.0.attention.self.query"
    renamed = {modules.get(name, name): value for name, value in tensors.items()}
    for i in range(2):
        renamed[f"attentions.{i}"] = renamed.pop(f"layer.{i}.attention.probabilities")
    word = "grad.bert.embeddings.word_embeddings.weight"
    renamed["grad.cls.predictions.decoder.weight"] = renamed.pop(word)  # tied: one parameter of two names
    code, found = compared(renamed)
    assert (code, found["only_in_a"], found["only_in_b"]) == (0, [], [])
    renamed[word] = tensors[word]
    assert compared(renamed)[1]["only_in_b"] == ["grad.cls.predictions.decoder.weight"]


def test_other_inputs_are_refused(reference, say, tmp_path):
    tensors = dict(SafetensorsFile(reference / INPUTS))
    write_safetensors(
        tmp_path / "x.safetensors", {**tensors_of(reference), "input_ids": tensors["input_ids"] + 1}
    )
    code, _, err = say("compare", reference, tmp_path / "x.safetensors")
    assert code == 3
    assert "the two sides were run on different input_ids" in err


def test_without_another_side_its_model_is_run(reference, say):
    code, out, _ = say("compare", reference, "--backend", "numpy", "--dtype", "float64")
    assert code == 0
    assert "BertForPreTraining, 2 layers, numpy, float64" in out.splitlines()[1]
    code, out, _ = say("compare", reference, "--backend-b", "numpy")
    assert code == 0
    assert "numpy, float32" in out.splitlines()[1]


def test_a_model_is_no_reference(reference, say, tmp_path):
    model = tmp_path / "model"
    reference_model("bert", "pre-training").save_pretrained(model)
    write_safetensors(tmp_path / "x.safetensors", tensors_of(reference))
    code, out, err = say("compare", model, tmp_path / "x.safetensors")
    assert (code, out) == (2, "")
    assert f"{model} is a model, and no reference with inputs of its own" in err
    inputs = {name: v for name, v in SafetensorsFile(reference / INPUTS).items() if "packed." not in name}
    write_safetensors(tmp_path / "x.safetensors", {**tensors_of(reference), **inputs})
    assert (
        say("compare", model, tmp_path / "x.safetensors", "--backend", "numpy")[0] == 0
    )  # the file has them


def test_a_damaged_reference_is_no_model(say, tmp_path):
    write_reference(tmp_path / "r", "bert")
    (tmp_path / "r" / INDEX).write_text("{")
    code, _, err = say("compare", tmp_path / "r", tmp_path / "x.safetensors")
    assert code == 3
    assert "index.json is not JSON" in err


def test_the_page(say, tmp_path, monkeypatch):
    """Its script needs no package, and what it shows is what is printed, but for the digits of rounding."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    script = next(text for kind, text in blocks if kind == "python")
    assert set(re.findall(r"^(?:from|import) (\w+)", script, re.MULTILINE)) <= sys.stdlib_module_names

    def shown(text):
        return re.sub(r"\d\.\de[-+]\d\d", "#", text).strip()

    runs = [text[2:].split("\n", 1) for kind, text in blocks if text.startswith("$ ")]
    assert [command.split()[0] for command, _ in runs] == ["minidistil", "python", "minidistil", "minidistil"]
    wrong = script.replace(" for number in x) / len(x)", " for number in x) / (len(x) - 1)")
    for i, (command, printed) in enumerate(runs):
        words = shlex.split(command)
        if i in (1, 3):
            Path("mine.py").write_text(wrong if i == 3 else script)
            run = [sys.executable, "-I", "-S", "mine.py"]
            out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        if words[0] == "minidistil":
            code, out, _ = say(*words[1:])
            assert code == (1 if i == 3 else 0)
        assert shown(out) == shown(printed)
