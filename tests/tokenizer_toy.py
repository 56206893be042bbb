"""Small tokenizers of every kind, trained on a few sentences, and the files of them."""

import json
import struct

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "The quick brown foxes jumped over the lazy dogs, and the dogs didn't mind.",
    "A warm film: funny, sad and 3,000 times better than the book of 1999.",
    "Paris is the capital of France; Berlin is the capital of Germany.",
    "Der schnelle Fuchs läuft über die Straße. Ça va, naïve café?",
    "Быстрая лиса прыгает. 你好世界 日本語 שלום עולם مرحبا بالعالم",
    "one two three four five six seven eight nine ten",
] * 4
HARD = [
    *SENTENCES[:6],
    "",
    " ",
    "  two  blanks\tand\nlines ",
    "emoji 😀👩‍👩‍👧🏽 in the film",
    "e\u0301a\u0308 combining Z\u0331marks \u0301",
    "你好,世界ok日本語テスト。",
    "שלום, עולם! مرحبا بالعالم",
    "don't (hello) ``quoted'' 3,000 2, ﬁlm",
    "the <mask> of<mask>France </s> <s>x",
    "\u200bzero\u200dwidth \u00a0nb",
]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MODELS = {"byte-level": "roberta", "unigram": "xlm-roberta"}


def byte_level(*, space=False, trim=True, size=420):
    """RoBERTa's: byte-level BPE, `<s> A </s></s> B </s>`, a mask that takes the space before it."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=ROBERTA, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    rust.train_from_iterator(SENTENCES, trainer)
    return _with_roberta(rust, processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim, space))


def unigram(characters=b""):
    """XLM-R's: Unigram over words that begin with ▁."""
    words = [word.strip(".,:;?") for sentence in SENTENCES[:6] for word in sentence.split()]
    letters = dict.fromkeys("▁" + "".join(words) + ".,:;?😀()'", -6.0)
    some = {"▁" + word: -7.0 - i / 64 for i, word in enumerate(words) if i % 3 and word.isalpha()}
    latin = [word for word in words if word.isalpha() and word[0] < "א"]
    pairs = {word[i : i + 2]: -8.0 for word in latin for i in range(0, len(word) - 1, 2)}
    pieces = sorted((letters | pairs | some).items())
    return unigram_of([*[(token, 0.0) for token in ROBERTA[:4]], *pieces, ("<mask>", 0.0)], characters)


def unigram_of(vocab, characters=b""):
    rust = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    if characters:
        rust.normalizer = normalizers.Sequence([normalizers.Precompiled(characters)])
    rust.pre_tokenizer = _metaspace()
    rust.decoder = decoders.Metaspace()
    return _with_roberta(
        rust,
        processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        ),
    )


def _metaspace():
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])


def _with_roberta(rust, processor):
    from tokenizers import AddedToken

    rust.add_special_tokens([*ROBERTA[:4], AddedToken("<mask>", lstrip=True, normalized=False)])
    rust.post_processor = processor
    return rust


def write_json(directory, **files):
    """JSON files by their names without suffix."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def write_tokenizer_json(directory, rust, model_type="roberta"):
    write_json(directory, config={"model_type": model_type})
    rust.save(str(directory / "tokenizer.json"))
    return directory


def write_byte_level(directory, rust, **config):
    """vocab.json and merges.txt of a byte-level BPE."""
    write_json(directory, config={"model_type": "roberta"}, tokenizer_config=config)
    rust.model.save(str(directory))
    return directory


# A sentencepiece model, in the wire format of protobuf.


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, value):
    """An integer, a float, or bytes (of text too)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentencepiece(pieces, *, trainer=b"", normalizer=b""):
    """Bytes of a model; pieces are (piece, score) or (piece, score, type)."""
    rows = []
    for piece, score, *kind in pieces:
        row = field(1, piece) + field(2, float(score)) + (field(3, kind[0]) if kind else b"")
        rows.append(field(1, row))
    return b"".join(rows) + field(2, trainer) + field(3, normalizer)


def fairseq_pieces(rust):
    """Pieces of XLM-R's sentencepiece model: <unk> <s> </s>, and those of `unigram`."""
    vocab = json.loads(rust.to_str())["model"]["vocab"]
    return [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *vocab[4:-1]]


def characters(key, value):
    """Compiled map of one character of three bytes: a double-array trie (Darts), and the text."""
    units, base = [0] * 2048, 256
    units[0] = base << 10
    for i, byte in enumerate(key.encode()):
        place, base = base ^ byte, 256 * (i + 2)
        leaf = 1 << 8 if i == 2 else 0
        units[place] = (place ^ base) << 10 | leaf | byte
    units[base] = 1 << 31  # the value: place 0 of the text
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + value.encode() + b"\0"
