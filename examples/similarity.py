"""Semantic similarity of pairs, compared with scores of people: python examples/similarity.py [ENCODER]"""

import sys

from minidistil import SentenceEncoder
from minidistil.metrics import spearman

# Pairs with the score of a person, from 0 to 5.
PAIRS = [
    ("A man is playing a guitar.", "Someone plays the guitar.", 4.6),
    ("A woman is slicing an onion.", "A woman cuts an onion.", 4.9),
    ("A dog runs across the field.", "A dog is running on grass.", 4.2),
    ("Two boys are playing football.", "Two girls are playing tennis.", 2.1),
    ("A man is cooking dinner.", "A man is eating dinner.", 2.6),
    ("The cat sleeps on the sofa.", "The train leaves at noon.", 0.1),
    ("Shares fell on Monday.", "The stock market lost on Monday.", 4.3),
    ("He bought a red car.", "The car has four doors.", 1.3),
]

encoder = SentenceEncoder.from_pretrained(sys.argv[1] if len(sys.argv) > 1 else "minilm")
first, second, scores = zip(*PAIRS, strict=True)
cosines = (encoder.encode(first) * encoder.encode(second)).sum(1)  # of vectors of length 1
for a, b, score, cosine in sorted(zip(first, second, scores, cosines, strict=True), key=lambda row: -row[3]):
    print(f"{cosine:.3f}  {score:.1f}  {a}  {b}")
print(f"Spearman's rank correlation: {spearman(cosines, scores):.3f}")
