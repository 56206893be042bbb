"""The sentences that say most of a document, chosen by any sentence encoder.

    python examples/summarise.py [ENCODER] [FILE]

Without a file: how Charles Darwin begins "On the Origin of Species" (1859).
"""

import sys
from pathlib import Path

from minidistil import pipeline

DARWIN = """\
When on board H.M.S. 'Beagle,' as naturalist, I was much struck with certain facts in the
distribution of the inhabitants of South America, and in the geological relations of the present to
the past inhabitants of that continent. These facts seemed to me to throw some light on the origin
of species—that mystery of mysteries, as it has been called by one of our greatest philosophers. On
my return home, it occurred to me, in 1837, that something might perhaps be made out on this
question by patiently accumulating and reflecting on all sorts of facts which could possibly have
any bearing on it. After five years' work I allowed myself to speculate on the subject, and drew up
some short notes; these I enlarged in 1844 into a sketch of the conclusions, which then seemed to me
probable: from that period to the present day I have steadily pursued the same object. I hope that I
may be excused for entering on these personal details, as I give them to show that I have not been
hasty in coming to a decision.

My work is now nearly finished; but as it will take me two or three more years to complete it, and
as my health is far from strong, I have been urged to publish this Abstract. I have more especially
been induced to do this, as Mr. Wallace, who is now studying the natural history of the Malay
archipelago, has arrived at almost exactly the same general conclusions that I have on the origin of
species.
"""

encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
document = Path(sys.argv[2]).read_text(encoding="utf-8") if len(sys.argv) > 2 else DARWIN

summarise = pipeline("summarization", encoder)
for method in ("lead", "centroid", "mmr"):
    (summary,) = summarise(document, sentences=2, method=method)
    print(f"{method}:")
    for sentence in summary.sentences:
        print(f"  {sentence.score:.2f}  characters {sentence.start} to {sentence.end}")
        print(f"        {' '.join(sentence.text.split())}")
