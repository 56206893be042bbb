"""Public names that have changed: an import of the old one fails with a sentence that says the new one."""

from __future__ import annotations

import sys
from typing import Any

RENAMED = {
    "minidistil.distill.narrow": "minidistil.distill.prune",
    "minidistil.distill.narrow_model": "minidistil.distill.prune_width",
    "minidistil.distill.stream": "minidistil.distill.residual_stream",
    "minidistil.kernels.gemm.native": "minidistil.kernels.engine.native",
    "minidistil.losses.patient": "minidistil.losses.pkd",
    "minidistil.metrics.best_rejection": "minidistil.metrics.best_threshold",
    "minidistil.ops.rng": "minidistil.ops.philox",
    "minidistil.packing": "minidistil.batch",
    "minidistil.recipes": "minidistil.settings",
    "minidistil.runs": "minidistil.jobs (finetuning: finetune, general: distill, pretraining: pretrain, "
    "pairs: multilingual, probe: estimate, reviews: demo.demo)",
    "minidistil.tasks.bitext": "minidistil.embeddings",
    "minidistil.tasks.clustering": "minidistil.embeddings",
    "minidistil.tasks.embeddings": "minidistil.embeddings (unit: normalize_embeddings)",
    "minidistil.tasks.neighbours": "minidistil.embeddings",
    "minidistil.tasks.selection": "minidistil.tasks.summarization.selection",
    "minidistil.tasks.vector_files": "minidistil.embeddings",
    "minidistil.tasks.word_alignment": "minidistil.embeddings (align: align_words)",
    "minidistil.verify.differences": "minidistil.verify.finite_differences",
    "minidistil.verify.gradcases_model": "minidistil.verify.model_cases",
}


class _Finder:
    """Last finder of modules, and of names in packages, which Python asks when all others found nothing."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name in RENAMED:
            raise ImportError(f"{name} is now called {RENAMED[name]}")


sys.meta_path.append(_Finder)
