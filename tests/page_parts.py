"""Pages that can be clicked, taken apart and checked: one script, its policy, nothing that is fetched."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np

from minidistil.report.maps import csp_hash


class Parts(HTMLParser):
    """Scripts and style sheets, the text of all else, and each tag with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.scripts, self.sheets, self.tags, self.text = [], [], [], ""
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.inside = tag if tag in ("script", "style") else None
        self.tags.append((tag, attributes))
        if self.inside:
            {"script": self.scripts, "style": self.sheets}[tag].append((dict(attributes), ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if not self.inside:
            self.text += data
            return
        found = self.scripts if self.inside == "script" else self.sheets
        attributes, before = found.pop()
        found.append((attributes, before + data))


def unpack(found):
    (kind,) = set(found) - {"shape"}
    return np.frombuffer(base64.b64decode(found[kind]), f"<f{int(kind[-2:]) // 8}").reshape(found["shape"])


def read(path):
    """Parts of a page, and what its widgets are given, after checks of what must be so on every page."""
    html = path.read_text(encoding="utf-8")
    parts = Parts(html)
    data = [json.loads(text) for attributes, text in parts.scripts if attributes]
    assert all(attributes == {"type": "application/json"} for attributes, _ in parts.scripts if attributes)
    (script,) = [text for attributes, text in parts.scripts if not attributes]
    (sheet,) = [text for _, text in parts.sheets]
    metas = [dict(attributes) for tag, attributes in parts.tags if tag == "meta"]
    (policy,) = [m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["script-src"] == f"'{csp_hash(script)}'"
    assert rules["style-src"] in (f"'{csp_hash(sheet)}'", "'unsafe-inline'")
    given = [pair for _, attributes in parts.tags for pair in attributes]
    names = {name for name, _ in given}
    assert not [name for name in names if name.startswith("on")]
    assert rules["style-src"] == "'unsafe-inline'" or "style" not in names
    addresses = [value for name, value in given if name in ("src", "href")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert "eval(" not in script
    assert "innerHTML" not in script
    assert not re.search(r"https?:|url\(|@import", script + sheet)
    return parts, data
