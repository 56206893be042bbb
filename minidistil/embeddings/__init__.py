"""Sentence embeddings, and what they are used for: search, clustering, bitext mining, word alignment."""

from minidistil.embeddings.bitext import mine_bitext
from minidistil.embeddings.clustering import Clusters, cluster, communities
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.quantization import quantize_embeddings
from minidistil.embeddings.semantic_search import Hits, Pairs, duplicates, retrieval_accuracy, search
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.embeddings.similarity import normalize_embeddings
from minidistil.embeddings.vector_files import read_vectors, reuse_vectors, write_vectors
from minidistil.embeddings.word_alignment import Alignment, align_words, links

__all__ = [
    "Alignment",
    "Clusters",
    "EmbeddingSettings",
    "Hits",
    "Pairs",
    "SentenceEncoder",
    "align_words",
    "cluster",
    "communities",
    "duplicates",
    "links",
    "mine_bitext",
    "normalize_embeddings",
    "quantize_embeddings",
    "read_vectors",
    "retrieval_accuracy",
    "reuse_vectors",
    "search",
    "write_vectors",
]
