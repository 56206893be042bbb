"""A model card: the README.md of a saved model, with the front matter that the hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minidistil.config import ModelConfig

# What JSON leaves as it is, but YAML does not take raw, even between quotes.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Facts about a model, for readers and for the hub. `render()` gives the text.

    Attributes
    ----------
    title : str
    summary : str
        A paragraph of Markdown.
    license : str or None
        An SPDX-like name such as "apache-2.0".
    base_model : str or None
        The teacher, or the model it was fine-tuned from.
    pipeline_tag : str or None
        "text-classification", "fill-mask", "token-classification", "question-answering", ...
    library_name : str
        Library that loads the directory; every model saved here loads in transformers.
    tags : sequence of str
    metrics : mapping of str to float
        {"accuracy": 0.814}
    details : mapping of str to str
        Facts about its training, a row each: {"Teacher": "...", "Temperature": "2"}.
    command : str or None
        The command line that makes it again.
    limitations : str or None
        A paragraph of Markdown.
    """

    title: str
    summary: str = ""
    license: str | None = None
    base_model: str | None = None
    pipeline_tag: str | None = None
    library_name: str = "transformers"
    tags: Sequence[str] = ("minidistil",)
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None
    limitations: str | None = None

    def render(self) -> str:
        """The text of README.md."""
        front = {
            "license": self.license,
            "base_model": self.base_model,
            "library_name": self.library_name,
            "pipeline_tag": self.pipeline_tag,
            "tags": list(self.tags),
            "metrics": list(self.metrics),
        }
        lines = ["---", *(f"{key}: {_yaml(value)}" for key, value in front.items() if value), "---"]
        lines += ["", f"# {_one_line(self.title)}"]
        if self.summary:
            lines += ["", self.summary]
        if self.metrics:
            values = {name: f"{value:.4g}" for name, value in self.metrics.items()}
            lines += ["", "## Results", "", *_table("Metric", "Value", values)]
        if self.details:
            lines += ["", "## How it was made", "", *_table("What", "Value", self.details)]
        if self.command:
            lines += ["", "## Make it again", "", *("    " + line for line in self.command.splitlines())]
        if self.limitations:
            lines += ["", "## Limitations", "", self.limitations]
        return "\n".join(lines) + "\n"


def plain_card(config: ModelConfig, pipeline_tag: str) -> ModelCard:
    """The card of a model of which nothing is known but its config and its task."""
    name = config.architectures[0]
    return ModelCard(
        title=name,
        summary=f"A {config.model_type} model with {config.depth} layers of width "
        f"{config.hidden_size}, saved by minidistil.",
        pipeline_tag=pipeline_tag,
    )


def _yaml(value: str | list[str]) -> str:
    """A YAML value: JSON is YAML, but for a few characters."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _table(left: str, right: str, rows: Mapping[str, str]) -> list[str]:
    head = [f"| {left} | {right} |", "| --- | --- |"]
    return head + [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())
