"""Text encoded once: the same ids as the tokenizer gives, whatever the file, however often it was killed."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import text_toy
from hypothesis import given, settings
from hypothesis import strategies as st
from text_toy import SPECIAL, make_tokenizer, sentences, small_pieces, write_inputs

from minidistil.errors import ConfigError, DataError, InputError, StorageError
from minidistil.text.corpus import files as corpus_files
from minidistil.text.corpus import writer as corpus_writer
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.corpus.files import SourceReader, find_sources
from minidistil.text.corpus.writer import encode_corpus

FILES = ("tokens.bin", "offsets.bin", "counts.npy", "meta.json")
PROGRAM = Path(text_toy.__file__)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def pieces(monkeypatch):
    for module, name in ((corpus_files, "PIECE"), (corpus_writer, "BATCH"), (corpus_writer, "PART")):
        monkeypatch.setattr(module, name, getattr(module, name))
    small_pieces()


def expected(tokenizer, texts):
    rows = (row[1:-1].tolist() for row in tokenizer.encode(texts, max_length=None).input_ids)
    return [row for row in rows if row]


def documents(corpus):
    return [corpus.document(i).tolist() for i in range(len(corpus))]


def encoded(tokenizer, directory, data, name="a.txt", **options):
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)
    return encode_corpus(tokenizer, directory / name, directory / "out", quiet=True, **options)


# What is written


def test_round_trip(tmp_path, tokenizer, pieces):
    texts = sentences(400)
    corpus = encoded(tokenizer, tmp_path, "\n".join(texts).encode())
    want = expected(tokenizer, texts)
    assert documents(corpus) == want
    assert corpus.tokens.dtype == np.uint16
    assert corpus.offsets.dtype == np.int64
    assert corpus.num_tokens == sum(map(len, want))
    assert corpus.counts.tolist() == np.bincount(np.concatenate(want), minlength=tokenizer.num_ids).tolist()
    assert not corpus.tokens.flags.writeable
    assert corpus.document(-1).tolist() == want[-1]
    assert {p.name for p in corpus.directory.iterdir()} == set(FILES)
    again = Corpus.open(tmp_path / "out", tokenizer)
    assert documents(again) == want
    assert again.content_hash() == corpus.content_hash()


def test_large_vocabularies_take_four_bytes(tmp_path):
    vocab = [*SPECIAL, *(f"w{i}" for i in range(70_000))]
    tokenizer = make_tokenizer(tmp_path / "tokenizer", vocab)
    corpus = encoded(tokenizer, tmp_path, b"w3 w69999")
    assert corpus.tokens.dtype == np.uint32
    assert documents(corpus) == [[8, 70_004]]


@pytest.mark.parametrize(("size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_the_last_id_that_fits_two_bytes(tmp_path, size, dtype):
    vocab = [*SPECIAL, *(f"w{i}" for i in range(size - len(SPECIAL)))]
    tokenizer = make_tokenizer(tmp_path / "tokenizer", vocab)
    corpus = encoded(tokenizer, tmp_path, f"{vocab[-1]} {vocab[5]}".encode())
    assert corpus.tokens.dtype == dtype
    assert documents(corpus) == [[size - 1, 5]]


@pytest.mark.parametrize(
    "data",
    [
        b"the film\n\n  \nwas good\n",
        b"the film\r\n\r\nwas good\r\n",
        b"\xef\xbb\xbfthe film\nwas good",
        b"\n\n\nthe film\n\x01\x02\n\xc2\xa0\nwas good",  # a line of which nothing is left; a no-break space
    ],
)
def test_lines(tmp_path, tokenizer, data):
    assert documents(encoded(tokenizer, tmp_path, data)) == expected(tokenizer, ["the film", "was good"])


def test_one_line(tmp_path, tokenizer):
    assert documents(encoded(tokenizer, tmp_path, b"good")) == expected(tokenizer, ["good"])


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.JSONL.gz"])
def test_json(tmp_path, tokenizer, name):
    data = b'\xef\xbb\xbf{"body": "the\\nfilm", "n": 1}\r\n\n{"body": ""}\n{"body": "\\u4e2d good"}'
    data = gzip.compress(data) if name.endswith("gz") else data
    corpus = encoded(tokenizer, tmp_path, data, name, text_key="body")
    assert documents(corpus) == expected(tokenizer, ["the film", "中 good"])


def test_directories_are_read_in_order(tmp_path, tokenizer):
    inputs = tmp_path / "in"
    for name, data in {
        "b.txt": b"good",
        "a/z.txt.gz": gzip.compress(b"bad\n" * 2),
        "a/b/readme": b"the film",
        "a.jsonl": b'{"text": "story"}',
        ".hidden": b"\0",
        ".git/config": b"\0",
    }.items():
        (inputs / name).parent.mkdir(parents=True, exist_ok=True)
        (inputs / name).write_bytes(data)
    corpus = encode_corpus(tokenizer, [inputs, inputs / "b.txt"], inputs / "out", quiet=True)
    assert documents(corpus) == expected(tokenizer, ["the film", "bad", "bad", "story", "good"])
    assert [s["name"] for s in corpus.meta["plan"]["sources"]] == [
        "a/b/readme",
        "a/z.txt.gz",
        "a.jsonl",
        "b.txt",
    ]
    again = encode_corpus(tokenizer, [inputs, inputs / "b.txt"], inputs / "out", quiet=True)  # not out itself
    assert again.content_hash() == corpus.content_hash()


# Long lines


def test_a_long_line_is_one_document(tmp_path, tokenizer, pieces):
    long = " ".join(sentences(500))
    assert len(long) > 20 * corpus_files.PIECE
    texts = ["good", long, "bad", long]
    want = expected(make_long(tokenizer), texts)
    assert documents(encoded(tokenizer, tmp_path / "a", "\n".join(texts).encode())) == want
    objects = "\n".join(json.dumps({"text": text}) for text in texts).encode()
    assert documents(encoded(tokenizer, tmp_path / "b", objects, "b.jsonl")) == want


def make_long(tokenizer):
    """The same tokenizer without a limit on length."""
    return type(tokenizer)(tokenizer._rust, special_tokens=tokenizer.special_tokens, model_max_length=10**6)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.text(alphabet="ab é中😀\t\r\u00a0\u0301", max_size=60), max_size=8),
    st.integers(8, 40),
    st.sampled_from(["\n", "\r\n"]),
)
def test_pieces_put_together_are_the_lines(tmp_path_factory, texts, size, ending):
    """Also from every place where reading may begin again."""
    path = tmp_path_factory.mktemp("pieces") / "a.txt"
    path.write_bytes(("x" + ending + ending.join(texts)).encode())
    [source] = find_sources(path, quiet=True)
    before, corpus_files.PIECE = corpus_files.PIECE, size
    try:
        pieces = list(SourceReader(source, "text"))
        for i, piece in enumerate(pieces):
            reader = SourceReader(source, "text")
            reader.seek(piece.byte, piece.line, not piece.ends)
            assert list(reader) == pieces[i + 1 :]
    finally:
        corpus_files.PIECE = before
    found, text = [], ""
    for piece in pieces:
        assert len(piece.text.encode()) <= size
        text += "".join(piece.text.split())
        if piece.ends:
            found.append(text)
            text = ""
    assert not text
    # A line of spaces longer than a piece is seen as a document before it turns out to be blank.
    assert [t for t in found if t] == [t for t in ("".join(line.split()) for line in ["x", *texts]) if t]


def test_a_json_line_that_is_too_long(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(corpus_files, "MAX_JSON_LINE", 100)
    data = b'{"text": "good"}\n{"text": "' + b"good " * 20 + b'"}\n'
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the line is longer"):
        encoded(tokenizer, tmp_path, data, "a.jsonl")


# Bad input


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"good\nb\xe9d\n", r"a\.txt, line 2: byte 6 of the file is not UTF-8"),
        ("a.txt", b"good\n\n\0bad\n", r"a\.txt, line 3: the line holds a NUL"),
        ("a.txt", "good".encode("utf-16"), r"a\.txt, line 1: this is UTF-16"),
        ("a.txt.gz", gzip.compress(b"good\n\xff\n"), r"a\.txt\.gz, line 2: byte 5 of the file is not UTF-8"),
        ("a.txt.gz", gzip.compress(bytes(range(1, 100)) * 99)[:60], r"a\.txt\.gz: not a whole gzip file"),
        ("a.txt.gz", b"good", r"a\.txt\.gz: not a whole gzip file"),
        ("a.txt", b"", r"a\.txt: the file is empty"),
        ("a.txt", b"\n \n\r\n", r"there is no text in a\.txt"),
        ("a.txt.gz", gzip.compress(b""), r"there is no text in a\.txt\.gz"),
        ("a.jsonl", b'{"text": "good"}\n{"text": 3}', r"a\.jsonl, line 2: 'text' should hold text, not 3"),
        ("a.jsonl", b'\n{"body": "good"}', r"a\.jsonl, line 2: no key 'text'; this line has: body"),
        ("a.jsonl", b'{"text": "good"\n', r"a\.jsonl, line 1: not valid JSON"),
        ("a.jsonl", b'["good"]', r"a\.jsonl, line 1: a JSON object a line is expected"),
        ("a.jsonl", b'{"text": "\\ud800"}', r"a\.jsonl, line 1: it holds half of a surrogate pair"),
        ("a.jsonl", b'{"text": "a\\u0000"}', r"a\.jsonl, line 1: the text holds a NUL"),
    ],
)
def test_bad_input_is_named(tmp_path, tokenizer, name, data, message):
    with pytest.raises(DataError, match=message):
        encoded(tokenizer, tmp_path, data, name)


def test_a_line_is_counted_once_however_many_pieces(tmp_path, tokenizer, pieces):
    data = b"good " * 1000 + b"\n" + b"bad " * 1000 + b"\xff\n"
    with pytest.raises(DataError, match=r"line 2: byte 9001 of the file"):
        encoded(tokenizer, tmp_path, data)


def test_nothing_there(tmp_path, tokenizer):
    (tmp_path / "empty").mkdir()
    for inputs, message in (
        (tmp_path / "gone", "gone: cannot be read: No such file"),
        (tmp_path / "empty", "empty: there are no files"),
        ([], "no files were given"),
    ):
        with pytest.raises(DataError, match=message):
            encode_corpus(tokenizer, inputs, tmp_path / "out", quiet=True)
    with pytest.raises(DataError, match="there is no corpus here"):
        Corpus.open(tmp_path)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("good\n")
    sources = find_sources(path, quiet=True)
    path.write_text("bad and good\n")
    with pytest.raises(DataError, match="changed while it was being read"):
        list(SourceReader(sources[0], "text"))
    path.unlink()
    with pytest.raises(DataError, match="gone while"):
        sources[0].check_unchanged()


def test_encode_flat_says_what_is_no_text(tokenizer):
    for bad, message in ((["a", 3], r"texts\[1\] is not a string"), (["\ud800"], "surrogate")):
        with pytest.raises(InputError, match=message):
            tokenizer.encode_flat(bad)
    ids, lengths = tokenizer.encode_flat([])
    assert len(ids) == len(lengths) == 0


# Never a stale corpus


def test_another_input_is_refused(tmp_path, tokenizer):
    corpus = encoded(tokenizer, tmp_path, b"good")
    before = (tmp_path / "out" / "tokens.bin").stat()
    assert encoded(tokenizer, tmp_path, b"good").content_hash() == corpus.content_hash()
    assert (tmp_path / "out" / "tokens.bin").stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(ConfigError, match=r"a\.txt has changed"):
        encoded(tokenizer, tmp_path, b"goos")
    with pytest.raises(ConfigError, match=r"b\.txt was not among"):
        encoded(tokenizer, tmp_path, b"good", "b.txt")
    other = make_tokenizer(tmp_path / "tokenizer", [*SPECIAL, "bad", "good"])
    with pytest.raises(ConfigError, match="the tokenizer was another"):
        encoded(other, tmp_path, b"good")
    with pytest.raises(ConfigError, match="another tokenizer"):
        Corpus.open(tmp_path / "out", other)
    with pytest.raises(ConfigError, match="its settings were"):
        encoded(tokenizer, tmp_path, b"good", text_key="body")
    (tmp_path / "c.txt").write_text("bad")
    with pytest.raises(ConfigError, match=r"c\.txt was not among"):
        encode_corpus(tokenizer, [tmp_path / "a.txt", tmp_path / "c.txt"], tmp_path / "out", quiet=True)


def test_damage_is_seen(tmp_path, tokenizer):
    encoded(tokenizer, tmp_path, b"good film")
    with open(tmp_path / "out" / "tokens.bin", "ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"tokens\.bin: has 5 bytes instead of 4"):
        Corpus.open(tmp_path / "out")


def test_files_of_others_are_left_alone(tmp_path, tokenizer):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tokens.bin").write_bytes(b"precious")
    with pytest.raises(ConfigError, match="is no part of a corpus"):
        encoded(tokenizer, tmp_path, b"good")
    assert (tmp_path / "out" / "tokens.bin").read_bytes() == b"precious"


def test_one_writer_at_a_time(tmp_path, tokenizer):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out" / ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process"):
            encoded(tokenizer, tmp_path, b"good")


def test_progress(tmp_path, tokenizer, capfd, monkeypatch):
    monkeypatch.setattr("minidistil.progress.SECONDS_BETWEEN_LINES", 0.0)
    (tmp_path / "a.txt").write_text(("the film was good " * 50 + "\n") * 4000)
    encode_corpus(tokenizer, tmp_path / "a.txt", tmp_path / "out")
    lines = capfd.readouterr().err.splitlines()
    [line] = [line for line in lines if line.startswith("encoding text: 2/3 MB, ")][:1]
    assert "MB/s, " in line
    assert line.endswith(" left")
    assert lines[-1].startswith("encoding text: 3/3 MB")


# Stopped and started again


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    make_tokenizer(root / "tokenizer")
    write_inputs(root / "inputs")
    run(root, root / "out")
    return root, {name: (root / "out" / name).read_bytes() for name in FILES}


def run(*args, check=True):
    command = [sys.executable, str(PROGRAM), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_the_small_corpus_has_many_parts(undisturbed, tokenizer):
    root, files = undisturbed
    corpus = Corpus.open(root / "out", tokenizer)
    assert len(files["tokens.bin"]) > 100_000
    assert np.diff(corpus.offsets).max() > 10_000
    texts = []
    for path in sorted((root / "inputs").iterdir()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = data.decode().split("\n")
        texts += [json.loads(line)["text"] if path.suffix == ".jsonl" and line else line for line in lines]
    assert documents(corpus) == expected(make_long(tokenizer), [t for t in texts if t])


@pytest.mark.parametrize(("name", "step"), [("fsync", 8), ("fsync", 10), ("replace", 4)])
def test_killed_at_every_stage(tmp_path, undisturbed, name, step):
    """Each run gets a few commits further and dies in the middle of one."""
    root, want = undisturbed
    deaths = 0
    while run(root, tmp_path, name, step, check=False).returncode == -signal.SIGKILL:
        deaths += 1
        assert not (tmp_path / "meta.json").exists() or deaths > 3
        assert deaths < 100
    assert deaths > 3
    assert {file: (tmp_path / file).read_bytes() for file in FILES} == want
    assert not (tmp_path / "progress.json").exists()


def test_stopped_after_every_commit(tmp_path, tokenizer, pieces, monkeypatch):
    """A commit after every piece: also before the blank end of a long line, and before nothing at all."""
    monkeypatch.setattr(corpus_files, "PIECE", 16)
    monkeypatch.setattr(corpus_writer, "BATCH", 1)
    monkeypatch.setattr(corpus_writer, "PART", 1)
    blank_end = "good " * 4 + " " * 30
    texts = ["the film", blank_end, "bad", "\x01\x02", "\x01", blank_end, "\x02", "was good", "good " * 30]
    data = "\n".join(texts).encode()
    whole = encoded(tokenizer, tmp_path / "whole", data)
    assert documents(whole) == expected(tokenizer, texts)

    def save_and_stop(writer):
        save(writer)
        if writer.state.file == 0:  # not yet through
            raise KeyboardInterrupt

    save = corpus_writer._Writer._save_state
    monkeypatch.setattr(corpus_writer._Writer, "_save_state", save_and_stop)
    stops, stopped = 0, None
    while stopped is None:
        try:
            stopped = encoded(tokenizer, tmp_path / "stopped", data)
        except KeyboardInterrupt:
            stops += 1
            assert stops < 100
    assert stops > 20
    for name in FILES:
        assert (stopped.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_killed_at_any_moment(tmp_path, undisturbed):
    root, want = undisturbed
    pick = random.Random(7)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for _ in range(5):
        command = [sys.executable, str(PROGRAM), str(root), str(tmp_path)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"encoding\n"
            time.sleep(pick.uniform(0, 0.15))
            process.kill()
    run(root, tmp_path)
    assert {file: (tmp_path / file).read_bytes() for file in FILES} == want


def test_an_unfinished_corpus_is_not_opened(tmp_path, undisturbed):
    root, _ = undisturbed
    run(root, tmp_path, "fsync", 20, check=False)
    with pytest.raises(DataError, match="not finished: encode it again"):
        Corpus.open(tmp_path)
    with open(tmp_path / "tokens.bin", "r+b") as file:
        file.truncate(10)
    with pytest.raises(DataError, match="is shorter than"):
        encode_corpus(make_tokenizer(tmp_path / "t"), root / "inputs", tmp_path, quiet=True)


HARM = {
    "no plan": lambda out: change(out / "meta.json", plan=None),
    "settings": lambda out: change(out / "meta.json", plan={"version": 1, "tokenizer": "x", "sources": []}),
    "sources": lambda out: change(out / "meta.json", plan={**plan_of(out), "sources": [3]}),
    "tokens": lambda out: change(out / "meta.json", tokens="many"),
    "documents": lambda out: change(out / "meta.json", documents=-1),
    "dtype": lambda out: change(out / "meta.json", dtype="float16"),
    "deep": lambda out: (out / "meta.json").write_text("[" * 100_000),
    "a directory": lambda out: ((out / "meta.json").unlink(), (out / "meta.json").mkdir()),
    "offsets": lambda out: np.arange(1, 9).astype("<u8").tofile(out / "offsets.bin"),
    "counts": lambda out: np.save(out / "counts.npy", np.ones(3)),
    "state": lambda out: (out / "meta.json").rename(out / "progress.json"),
}


def plan_of(out):
    return json.loads((out / "meta.json").read_text())["plan"]


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_corpus_is_named(tmp_path, tokenizer, harm):
    data = "\n".join(["the film was good"] * 7).encode()
    encoded(tokenizer, tmp_path, data)
    harm(tmp_path / "out")
    with pytest.raises((DataError, ConfigError), match=str(tmp_path / "out")):
        encoded(tokenizer, tmp_path, data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Peak of the process for 11 MB of lines, and for one line of 11 MB, beside a quarter of it.

    The quarter is long enough for both threads to have had their largest pieces at the same time.
    """
    make_tokenizer(tmp_path / "tokenizer")
    text = "\n".join(sentences(14_000, seed=9))
    for ending, name in (("\n", "lines"), (" ", "line")):
        for times in (3, 12):
            content = "\n".join([text] * times).replace("\n", ending)
            (tmp_path / f"{times}.{name}").write_text(content)
    code = """
import sys
from pathlib import Path
from minidistil.text.corpus import writer as corpus_writer
from minidistil.text.tokenizer import Tokenizer
corpus_writer.BATCH = 1 << 15
root, name = Path(sys.argv[1]), sys.argv[2]
tokenizer = Tokenizer.from_pretrained(root / "tokenizer")
corpus_writer.encode_corpus(tokenizer, root / name, root / (name + ".out"), quiet=True)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    peak = {}
    for name in ("3.lines", "12.lines", "3.line", "12.line"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), name],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        peak[name] = int(done.stdout) / 1024
    size = len(text) * 9 / 2**20
    assert size > 8
    assert peak["12.lines"] - peak["3.lines"] < size / 2, peak
    assert peak["12.line"] - peak["3.line"] < size / 2, peak
