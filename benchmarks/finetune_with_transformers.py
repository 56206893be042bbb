"""The recipe of `minidistil finetune`, written with PyTorch and transformers.

    python benchmarks/finetune_with_transformers.py MODEL sst2 train.tsv dev.tsv --seeds 0 1 2 --epochs 1

Fused AdamW, weight decay on matrices alone, linear schedule with 10 % warm-up, gradients clipped to 1,
dropout as in the model's config, batches as they come and padded to their longest. Prints JSON: the metrics
of each seed, and seconds of training.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

from minidistil import metrics

# Columns of the text, the second text and the label.
COLUMNS = {"sst2": ("sentence", None, "label"), "mrpc": ("#1 String", "#2 String", "Quality")}


def read(path: str, task: str) -> tuple[list[list[str]], list[int]]:
    first, second, label = COLUMNS[task]
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts = [[row[first], *([row[second]] if second else [])] for row in rows]
    return texts, [int(row[label]) for row in rows]


def batches(tokenizer, texts, labels, order, size, length):
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        sides = [[texts[i][k] for i in rows] for k in range(len(texts[0]))]
        inputs = tokenizer(*sides, padding=True, truncation=True, max_length=length, return_tensors="pt")
        yield inputs, torch.tensor([labels[i] for i in rows])


def run(args: argparse.Namespace, seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2)
    texts, labels = read(args.train, args.task)
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
    others = [p for n, p in model.named_parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, eps=1e-8, fused=True)
    steps = args.epochs * -(-len(texts) // args.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, -(-steps // 10), steps)
    began, rng = time.perf_counter(), np.random.default_rng(seed)
    model.train()
    for _ in range(args.epochs):
        order = rng.permutation(len(texts))
        for inputs, wanted in batches(tokenizer, texts, labels, order, args.batch_size, args.max_length):
            model(**inputs, labels=wanted).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    seconds = time.perf_counter() - began
    model.eval()
    texts, labels = read(args.eval, args.task)
    found = []
    with torch.inference_mode():
        for inputs, _ in batches(tokenizer, texts, labels, range(len(texts)), 64, args.max_length):
            found.append(model(**inputs).logits.argmax(-1).numpy())
    chosen = np.concatenate(found)
    scores = {"accuracy": metrics.accuracy(labels, chosen), "f1": metrics.f1(labels, chosen)}
    return {**scores, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "task", "train", "eval"):
        parser.add_argument(name, choices=sorted(COLUMNS) if name == "task" else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--max-length", type=int, default=128)
    args = parser.parse_args()
    runs = []
    for seed in args.seeds:
        runs.append(run(args, seed))
        print(json.dumps({"seed": seed, **runs[-1]}), flush=True)
    mean = {key: statistics.fmean(r[key] for r in runs) for key in runs[0]}
    print(json.dumps({"mean": mean}))


if __name__ == "__main__":
    main()
