"""What a masked language model makes of a gap.

    python examples/fill_mask.py [MODEL] [TEXT...]

MODEL is a directory or hub id of a masked LM, by default distilbert/distilbert-base-uncased.
"""

import sys

from minidistil import pipeline

model = sys.argv[1] if len(sys.argv) > 1 else "distilbert/distilbert-base-uncased"
texts = sys.argv[2:] or [
    "Paris is the [MASK] of France.",
    "She put the [MASK] in the [MASK] and shut the door.",
    "The weather was [MASK], so we stayed at home.",
]
guess = pipeline("fill-mask", model)
for filling in guess(texts, top_k=3):
    print(f"\n{filling.text}   (p = {filling.score:.4f})")
    for mask in filling.masks:
        print(f"  at {mask.start}:", ", ".join(f"{c.token} {c.score:.3f}" for c in mask.candidates))

print("\nOnly some words compared:")
for candidate in (
    guess("The weather was [MASK].", targets=["cold", "warm", "good", "bad"])[0].masks[0].candidates
):
    print(f"  {candidate.score:.4f}  {candidate.text}")
