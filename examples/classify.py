"""Labels for texts, with their probabilities: python examples/classify.py [MODEL] [TEXT ...]

MODEL is a fine-tuned classifier: a directory that `minidistil finetune` made, or a hub id.
"""

import sys

from minidistil import pipeline

model = sys.argv[1] if len(sys.argv) > 1 else "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
texts = sys.argv[2:] or ["a warm, funny, engaging film", "an overlong and tiresome mess", "it is a film"]

classify = pipeline("text-classification", model)
for text, sure in zip(texts, classify(texts, threshold=0.95), strict=True):
    ranked = sorted(sure.scores.items(), key=lambda item: -item[1])[:3]
    print(f"{text!r}: {sure.label}; " + ", ".join(f"{label} {score:.3f}" for label, score in ranked))
