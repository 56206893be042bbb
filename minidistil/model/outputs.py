"""What calling a model returns."""

from __future__ import annotations

from typing import Any


class ModelOutput(dict[str, Any]):
    """Outputs by name, as attributes too: `out.logits` is `out["logits"]`.

    Arrays have the rectangular form: [B, L, ...] for tokens (zeros where there is no token), [B, ...] for
    sequences. `hidden_states` is a tuple of L + 1 arrays [B, L, H], the embeddings first; `attentions` a
    tuple of arrays [B, A, L, L], one a layer.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            have = ", ".join(self)
            raise AttributeError(f"this output has no {name!r}; it has: {have}") from None
