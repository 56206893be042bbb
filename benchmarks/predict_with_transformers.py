"""The work of `minidistil predict DIRECTORY TEXT`, as a small script over transformers."""

import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

directory, text = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForSequenceClassification.from_pretrained(directory)
with torch.inference_mode():
    scores = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
best = int(scores.argmax())
print(f"{model.config.id2label[best]}\t{scores[best]:.4f}\t{text}")
