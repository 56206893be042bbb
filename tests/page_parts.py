"""Pages that can be clicked, taken apart and checked: one script, its policy, nothing that is fetched."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np

from minidistil.report.maps import csp_hash


class Parts(HTMLParser):
    """Scripts and style sheets with their attributes, all other text, tags and attributes."""

    def __init__(self, html):
        super().__init__()
        self.scripts, self.sheets, self.attributes, self.text = [], [], [], ""
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.inside = tag if tag in ("script", "style") else None
        self.attributes += [(tag, *pair) for pair in attributes]
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
    """Parts of a page that can be clicked, and what its widgets are given; it is checked to be as all must be."""
    html = path.read_text(encoding="utf-8")
    parts = Parts(html)
    data = [json.loads(text) for attributes, text in parts.scripts if attributes]
    assert all(attributes == {"type": "application/json"} for attributes, _ in parts.scripts if attributes)
    (script,) = [text for attributes, text in parts.scripts if not attributes]
    (sheet,) = [text for _, text in parts.sheets]
    policy = dict(
        parts.attributes and [(name, value) for tag, name, value in parts.attributes if tag == "meta"]
    )
    assert policy["content"]
    assert "Content-Security-Policy" in html
    found = next(value for tag, name, value in parts.attributes if name == "content")
    rules = dict(rule.strip().split(" ", 1) for rule in found.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["script-src"] == f"'{csp_hash(script)}'"
    assert rules["style-src"] in (f"'{csp_hash(sheet)}'", "'unsafe-inline'")
    names = {name for _, name, _ in parts.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert rules["style-src"] == "'unsafe-inline'" or "style" not in names
    addresses = [value for _, name, value in parts.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert "eval(" not in script
    assert "innerHTML" not in script
    assert not re.search(r"https?:|url\(|@import", script + sheet)
    return parts, data
