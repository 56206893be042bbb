"""Real weights on real text: all-MiniLM-L6-v2 on 200 sentences of real reviews."""

import numpy as np
import pytest
import torch
import transformers
from parity_tools import our_outputs, tensors, their_gradients, their_outputs

from minidistil.batch import Batch
from minidistil.jobs.demo.corpora import KINDS, load_reviews, movie_split
from minidistil.model import BertModel
from minidistil.text.tokenizer import Tokenizer

TOLERANCE = 2e-5  # max abs, float32
ODD = [
    "",
    " ",
    "naïve café — “quoted” …",
    "日本語のテキスト 漢字 and 한국어",
    "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 and \u200b zero width",
    "tab\tnewline\nand\rcarriage\x00null\x7fdelete",
    "ÀÉÎÕÜ ß ﬁ ﬃ ½ ² Ⅷ ℃",
    "e\u0301 combining, \u202bright to left\u202c עברית العربية",
    "x" * 250,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [unused1]",
    "3.14159 1,000,000 a-b_c/d\\e @user #tag http://example.org/?q=1&r=2",
    "\ufffd \ufeff \ud7ff \ue000 \U0010fffd",
    "ǅ ŉ İ ı Σς",
    "!!!???...''``",
]


@pytest.fixture(scope="module")
def sentences():
    """200 held-out sentences of movie reviews, in batches of 40 as they come."""
    return movie_split().test_texts[:200]


@pytest.fixture(scope="module")
def reference(minilm, sentences):
    """For each batch: inputs, transformers' hidden states by layer, sentence embeddings."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.BertModel.from_pretrained(minilm, add_pooling_layer=True).eval()
    found = []
    for start in range(0, len(sentences), 40):
        inputs = tokenizer(sentences[start : start + 40], padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            state = model(**inputs).last_hidden_state
        weight = inputs["attention_mask"].unsqueeze(-1).float()
        mean = (state * weight).sum(1) / weight.sum(1)
        inputs = {k: v.numpy() for k, v in inputs.items()}
        embeddings = torch.nn.functional.normalize(mean, dim=-1).numpy()
        found.append((inputs, their_outputs(model, inputs, output_hidden_states=True), embeddings))
    return found


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_hidden_states_and_embeddings(minilm, reference, backend, report):
    model = BertModel.from_pretrained(minilm, backend=backend)
    ours, theirs, our_embeddings, their_embeddings = {}, {}, {}, {}
    for i, (inputs, outputs, embeddings) in enumerate(reference):
        found = our_outputs(model, inputs, outputs, output_hidden_states=True)
        ours |= {f"batch {i}, {k}": v for k, v in found.items()}
        theirs |= {f"batch {i}, {k}": v for k, v in outputs.items()}
        state = model(**inputs).last_hidden_state  # zeros on padding
        mean = state.sum(1) / inputs["attention_mask"].sum(1, keepdims=True)
        our_embeddings[f"batch {i}"] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        their_embeddings[f"batch {i}"] = embeddings
    assert len(theirs) == 5 * (7 + 2)
    report.absolute(f"MiniLM, 200 sentences, every layer, {backend}", ours, theirs, TOLERANCE)
    report.absolute(
        f"MiniLM, 200 sentence embeddings, {backend}", our_embeddings, their_embeddings, TOLERANCE
    )


def test_padding_free_is_the_same(minilm, sentences, reference, report):
    """Straight from our tokenizer into a packed batch of 200, never padded."""
    model = BertModel.from_pretrained(minilm)
    encoded = Tokenizer.from_pretrained(minilm).encode(sentences)
    packed = Batch.from_sequences(encoded.input_ids, encoded.token_type_ids)
    outputs, _ = model.forward(packed, keep_cache=False)
    theirs = np.concatenate([outputs["last_hidden_state"] for _, outputs, _ in reference])
    ours = {"last_hidden_state": outputs["last_hidden_state"]}
    report.absolute("MiniLM, packed without padding", ours, {"last_hidden_state": theirs}, TOLERANCE)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_gradients(minilm, reference, backend, report):
    """Of a random projection of the last hidden states, in float32, tensor by tensor."""
    inputs, _, _ = reference[0]
    mask = inputs["attention_mask"]
    cotangent = np.random.default_rng(0).standard_normal((int(mask.sum()), 384), np.float32)
    theirs = transformers.BertModel.from_pretrained(minilm, add_pooling_layer=False).eval()
    state = theirs(**tensors(inputs)).last_hidden_state[torch.from_numpy(mask) == 1]
    (state * torch.from_numpy(cotangent)).sum().backward()
    ours = BertModel.from_pretrained(minilm, backend=backend)
    _, cache = ours.forward(ours.pack(**inputs))
    grads = ours.params.like()
    ours.backward({"last_hidden_state": cotangent}, cache, grads)
    encoder = {k: v for k, v in grads.items() if not k.startswith("pooler.")}
    report.gradients(f"MiniLM, every gradient, {backend}", encoder, their_gradients(theirs), 1e-5)


def test_tokenizer(minilm, report):
    texts = [r.text for kind in KINDS for r in load_reviews(kind)[:500]]
    assert len(texts) == 2000
    ours, theirs = Tokenizer.from_pretrained(minilm), transformers.AutoTokenizer.from_pretrained(minilm)
    other = texts[1000:] + texts[:1000]
    for what, first, second, limit in (
        ("2,000 real sentences", texts, None, 256),
        ("2,000 pairs", texts, other, 256),
        ("2,000 sentences cut to 12", texts, None, 12),
        ("2,000 pairs cut to 21", texts, other, 21),
        ("odd Unicode", ODD, None, 64),
        ("odd Unicode pairs", ODD, ODD[::-1], 33),
    ):
        found = ours.encode(first, second, max_length=limit)
        expected = theirs(first, second, max_length=limit, truncation=True)
        report.equal(
            f"tokenizer, {what}",
            [(i.tolist(), t.tolist()) for i, t in zip(found.input_ids, found.token_type_ids, strict=True)],
            list(zip(expected["input_ids"], expected["token_type_ids"], strict=True)),
        )
