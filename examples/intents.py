"""Intent classification by examples, without training: python examples/intents.py [ENCODER] [TEXT ...]

`intents.jsonl`, beside this file, has six examples of each of five intents, and six texts out of scope.
"""

import sys
from pathlib import Path

from minidistil import pipeline

encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
texts = sys.argv[2:] or ["is my parcel here soon?", "I'd rather have my euros back", "what is love?"]

predict = pipeline("intents", encoder, entries=Path(__file__).with_name("intents.jsonl"))
print(f"below {predict.threshold:.2f} it is none of them")
for text, intent in zip(texts, predict(texts), strict=True):
    best = intent.candidates[0]
    print(f"{text!r}: {intent.label} ({intent.score:.2f}, nearest is {best.example!r})")
