"""Run a notebook's code cells in order, and compare what they print with the outputs stored in it.

    python docs/run_notebook.py docs/tour.ipynb          exit code 1 if a cell fails or prints something else
    python docs/run_notebook.py docs/tour.ipynb --write  store what they print

Cells are plain Python without magics, so that neither Jupyter nor a kernel is needed. They run in this
process, in an empty directory. A cell with the tag "about" may print other numbers on another processor:
there each number must be within a fifth of the stored one, or of 1.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import io
import json
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def run_cell(source: str, name: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs of a cell in Jupyter's form: what it prints, and its last expression unless that is None."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append({"data": data, "metadata": {}, "output_type": "execute_result"})
    return outputs


def run_cells(cells: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Outputs of all code cells, in a fresh namespace and an empty directory."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    found, before = [], Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            for number, cell in enumerate(cells, 1):
                outputs = run_cell("".join(cell["source"]), f"<code cell {number}>", namespace)
                for output in outputs:
                    if output["output_type"] == "execute_result":
                        output["execution_count"] = number
                found.append(outputs)
        finally:
            os.chdir(before)
    return found


def text_of(outputs: list[dict[str, Any]]) -> str:
    """The text of a cell's outputs."""
    return "\n".join("".join(o["text"] if "text" in o else o["data"]["text/plain"]) for o in outputs)


def alike(a: str, b: str) -> bool:
    """True for two texts with the same words, whose numbers agree within a fifth, or a fifth of 1."""
    if " ".join(NUMBER.sub("0", a).split()) != " ".join(NUMBER.sub("0", b).split()):
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    numbers = ((float(x.replace(",", "")), float(y.replace(",", ""))) for x, y in pairs)
    return all(abs(x - y) <= 0.2 * max(1.0, abs(y)) for x, y in numbers)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--write", action="store_true", help="store the outputs")
    args = parser.parse_args()
    notebook = json.loads(args.notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    try:
        results = run_cells(cells)
    except Exception:
        traceback.print_exc()
        return 1
    different = 0
    for number, (cell, outputs) in enumerate(zip(cells, results, strict=True), 1):
        stored, new = text_of(cell["outputs"]), text_of(outputs)
        same = alike(stored, new) if "about" in cell["metadata"].get("tags", []) else stored == new
        cell["execution_count"], cell["outputs"] = number, outputs
        if not same and not args.write:
            different += 1
            lines = difflib.unified_diff(stored.splitlines(), new.splitlines(), "stored", "now", lineterm="")
            print(f"code cell {number} prints something else:", *lines, sep="\n")
    if args.write:
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        args.notebook.write_text(text + "\n", encoding="utf-8")
    print(f"{args.notebook.name}: {len(cells)} cells, {different} with other outputs")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
