"""Hostile values for names in a store, and checks that they had no effect."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

from elbowroom.analysis.pages import report

HOSTS = "evil.example"
SCRIPTS = [report.script(*names).text for names in (("page.js",), ("page.js", "plane.js"))]
NAMES = {
    "parent folders": "../../../../../../tmp/x",
    "dots": "..",
    "a script": "<script>alert(1)</script>",
    "an attribute": f"\"'></style></title><img src=http://{HOSTS}/x onerror=alert(1)><svg onload=alert(1)>",
    "a comment": "--><!-- elbowroom: end --><base href=evil.example>",
    "a link in Markdown": f"[x](javascript:alert(1)) ![x](http://{HOSTS}/y) `</code>` ```\n# b\n* c",
    "a template": "{{ 7*7 }}{% include '/etc/passwd' %}{# x",
    "a formula": "_$\\frac{$ $x_{$ \\$",
    "10,000 letters": "y" * 10_000,
    "a terminal's orders": "a\nb\r\nc\td\x85f\u2028g\x1b[31mred\x1b]0;title\x07\x1b[2J\x08\x7f\x9b1m",
    "half a letter": "a\ud800b\0c",
    "nothing": "",
    "a shell's command": "x; rm -rf ~ $(id) `id` && echo",
}
"""Each is a class of its own; `ALL` is most of them at once. No database takes half a letter."""
ALL = " ".join(v for k, v in NAMES.items() if len(v) < 1000 and k != "half a letter") + "z" * 3000
FRAGMENTS = ("<script", "<img src=http", "onerror=alert(1)>", "<svg", "</style></title>", "<base", "<!--")

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "nav", "ul", "li", "a", "main",
    "section", "strong", "div", "figure", "img", "figcaption", "details", "summary", "table", "caption", "thead",
    "tbody", "tr", "th", "td", "code", "pre", "sub", "span", "i", "script",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "aria-label", "aria-labelledby", "src",
    "alt", "width", "height", "scope", "tabindex", "style", "aria-hidden", "type", "hidden", "data-live",
    "data-replaced-by", "data-planes", "data-tiles", "data-codes", "data-hint",
}  # fmt: skip


class Reader(HTMLParser):
    """Every tag of a page with its attributes, and all its text; fails on tags that don't close."""

    EMPTY = frozenset(("meta", "img"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.scripts += [""] * (tag == "script")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(html: str) -> None:
    """A page has its template's elements and script alone, and leads nowhere but to itself and the store."""
    read = Reader(html)
    tags = read.tags
    for text in read.scripts:
        if text not in SCRIPTS:
            json.loads(text)
            assert "<" not in text
        for opening in ("<script>", '<script type="application/json" id="data">'):
            html = html.replace(f"{opening}{text}</script>", "")
    assert {tag for tag, _ in tags} <= TAGS
    assert {name for _, attributes in tags for name in attributes} <= ATTRIBUTES
    addresses = [attributes[name] or "" for _, attributes in tags for name in ("href", "src") if name in attributes]
    allowed = ("#", "data:image/png;base64,", "http://127.0.0.1:")
    assert [a[:80] for a in addresses if not a.startswith(allowed)] == []
    assert [f for f in FRAGMENTS if f in html.replace("<!DOCTYPE", "")] == []
    assert "y" * 700 not in html
    assert [c for c in html if not c.isprintable() and c not in "\n\N{NO-BREAK SPACE}"] == []
    html.encode()


def check_lines(text: str) -> None:
    """Check that printed text has no control characters for a terminal, and no endless line."""
    for line in text.split("\n"):
        assert [c for c in line if not c.isprintable()] == []
        assert len(line) <= 2200


def check_files(out: Path, names: set[str]) -> None:
    """Check the names in a folder: those expected, and all, in its subfolders too, short and plain."""
    assert {p.name for p in out.iterdir()} == names
    for path in out.rglob("*"):
        assert path.name.isascii()
        assert path.name.replace("-", "a").replace("_", "a").replace(".", "a").isalnum()
        assert len(path.name) < 100
        if path.suffix == ".json":
            json.loads(path.read_text())


@contextmanager
def nothing_else_in(folder: Path, *allowed: Path) -> Iterator[None]:
    """Check that the block makes files below the folder only in the allowed ones."""

    def there() -> set[Path]:
        return {p for p in folder.rglob("*") if not any(p.is_relative_to(a) for a in allowed)}

    before = there()
    yield
    assert there() - before == set()
