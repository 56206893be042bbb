"""FAQ retrieval: python examples/faq.py [ENCODER]

On a terminal it answers a question a line, until Ctrl-D. With the vectors of the entries in a file the next
start is immediate.
"""

import sys
import tempfile
from pathlib import Path

from minidistil import pipeline
from minidistil.embeddings import write_vectors

encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
entries = Path(__file__).with_name("faq.jsonl")

kept = Path(tempfile.mkdtemp()) / "faq.npy"
write_vectors(kept, pipeline("faq", encoder, entries=entries).vectors)
ask = pipeline("faq", encoder, entries=entries, vectors=kept, threshold=0.35)

questions = (
    sys.stdin
    if sys.stdin.isatty()
    else ["do you ship to Oslo?", "I can't log in any more", "who wrote Faust?"]
)
for question in questions:
    if question.strip():
        (found,) = ask(question.strip())
        print(f"{question.strip()}\n    {found.answer or 'I do not know.'} ({found.score:.2f})")
