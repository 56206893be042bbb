"""Kinds of tokenizers: files of the vocabulary, special tokens, and the template around texts.

One table for all families. The class of transformers that a directory names leads to a row; where none is
named, config.json's model_type leads to the class. (A name does not: Chinese "RoBERTa" is often a BERT.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from minidistil.text.added_tokens import ROBERTA_TOKENS, SPECIAL_TOKENS

# Around one text, and around two; "$B:1" has token type 1, all else has 0.
AROUND_BERT = ("{cls} $A {sep}", "{cls} $A {sep} $B:1 {sep}:1")
AROUND_ROBERTA = ("{cls} $A {sep}", "{cls} $A {sep} {sep} $B {sep}")

BYTE_LEVEL_FILES = ("vocab.json", "merges.txt")
FAIRSEQ_FILES = ("sentencepiece.bpe.model",)


class Pieces(NamedTuple):
    """Vocabulary of a class, made of the pieces of a sentencepiece model.

    Attributes
    ----------
    first : tuple of (str, float)
        Tokens in front, with their scores.
    skipped : int
        Pieces that these replace, from the first.
    last : tuple of (str, float)
        Tokens behind.
    digit_comma : float
        Added to the score of a piece that ends in a digit and a comma.
    unknown : int, optional
        Id of the unknown token; by default that of the model's own.
    cleans : bool
        Whether quotes are made alike, accents dropped and capitals lowered first, as the settings say.
    """

    first: tuple[tuple[str, float], ...] = ()
    skipped: int = 0
    last: tuple[tuple[str, float], ...] = ()
    digit_comma: float = 0.0
    unknown: int | None = None
    cleans: bool = False


PLAIN = Pieces()


@dataclass(frozen=True)
class TokenizerKind:
    """A tokenizer class of transformers.

    Attributes
    ----------
    model : {"wordpiece", "byte-level", "unigram"}
        Pipeline around the vocabulary; "byte-level" is byte-level BPE.
    files : tuple of str
        The vocabulary, where there is no tokenizer.json.
    special_tokens : mapping
        {"mask_token": "[MASK]", ...}, where the files name none.
    template : (str, str)
    token_types : bool
        Whether its models are fed token types, unless model_input_names says otherwise.
    mask_takes_space : bool
        Whether the mask token takes the space before it.
    pieces : Pieces
        Of "unigram".
    """

    model: Literal["wordpiece", "byte-level", "unigram"]
    files: tuple[str, ...]
    special_tokens: Mapping[str, str]
    template: tuple[str, str]
    token_types: bool
    mask_takes_space: bool = True
    pieces: Pieces = PLAIN

    @property
    def pair_tokens(self) -> int:
        """Number of special tokens around two texts."""
        return self.template[1].count("{")


_BERT = TokenizerKind("wordpiece", ("vocab.txt",), SPECIAL_TOKENS, AROUND_BERT, True, mask_takes_space=False)
_WITHOUT_TYPES = replace(_BERT, token_types=False)
# Ids of fairseq, which has four tokens of its own in front of the pieces, and the mask token behind.
_XLM_R = Pieces(
    first=(("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)),
    skipped=3,  # <unk> <s> </s>
    last=(("<mask>", 0.0),),
    unknown=3,
)
_CAMEMBERT = Pieces(
    first=(
        ("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)
    ),
    skipped=1,  # <unk>
    last=(("<mask>", 0.0),),
    unknown=3,
)  # fmt: skip

KINDS: Mapping[str, TokenizerKind] = {
    **dict.fromkeys(
        (
            "BertTokenizer", "ConvBertTokenizer", "DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer",
            "ElectraTokenizer", "LayoutLMTokenizer", "LxmertTokenizer", "MobileBertTokenizer",
            "RetriBertTokenizer", "SqueezeBertTokenizer",
        ),
        _BERT,
    ),
    **dict.fromkeys(("DistilBertTokenizer", "DPRReaderTokenizer"), _WITHOUT_TYPES),
    "MPNetTokenizer": TokenizerKind(
        "wordpiece", ("vocab.txt",), {**ROBERTA_TOKENS, "unk_token": "[UNK]"}, AROUND_ROBERTA, False
    ),
    "RobertaTokenizer": TokenizerKind("byte-level", BYTE_LEVEL_FILES, ROBERTA_TOKENS, AROUND_ROBERTA, False),
    "XLMRobertaTokenizer": TokenizerKind(
        "unigram", FAIRSEQ_FILES, ROBERTA_TOKENS, AROUND_ROBERTA, False, pieces=_XLM_R
    ),
    "CamembertTokenizer": TokenizerKind(
        "unigram", FAIRSEQ_FILES, ROBERTA_TOKENS, AROUND_ROBERTA, False, pieces=_CAMEMBERT
    ),
    # Its authors split "2," into "2" and ","; a low score for such pieces does the same.
    "AlbertTokenizer": TokenizerKind(
        "unigram", ("spiece.model",), {**SPECIAL_TOKENS, "unk_token": "<unk>", "pad_token": "<pad>"},
        AROUND_BERT, True, pieces=Pieces(digit_comma=-100.0, cleans=True),
    ),
}  # fmt: skip

# Classes by model_type; all others, such as bert, distilbert, electra and ernie: BertTokenizer.
MODEL_TYPES: Mapping[str, str] = {
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "mpnet": "MPNetTokenizer",
}
ANY_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})  # of any pipeline
