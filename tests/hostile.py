"""What somebody who tries everything writes where a name belongs, and how to see that it did nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

HOSTS = "evil.example"
NAMES = {
    "parent folders": "../../../../../../tmp/x",
    "dots": "..",
    "a script": "<script>alert(1)</script>",
    "an attribute": f"\"'><img src=http://{HOSTS}/x onerror=alert(1)>",
    "a style": f"</style></title><style>@import url(//{HOSTS}/x)</style><svg onload=alert(1)>",
    "an address": "javascript:alert(1)",
    "a comment": "--><!-- elbowroom: end --><base href=//evil.example>",
    "a link in Markdown": f"[x](javascript:alert(1)) ![x](http://{HOSTS}/y) `</code>` ```",
    "a table in Markdown": "|a|\n|-|\n# b\n* c",
    "a template": "{{ 7*7 }}{% include '/etc/passwd' %}{# x",
    "a formula": "$\\frac{$ $x_{$ \\$",
    "a hidden label": "_nolegend_",
    "10,000 letters": "y" * 10_000,
    "lines": "a\nb\r\nc\td\x0be\x85f\u2028g",
    "a terminal's orders": "\x1b[31mred\x1b]0;title\x07\x1b[2J\x00\x08\x7f\x9b1m",
    "half a letter": "a\ud800b",
    "nothing": "",
    "a shell's command": "x; rm -rf ~ $(id) `id` && echo",
    "a query": "x' OR '1'='1'; DROP TABLE runs; --",
}
"""Each is a class of its own; `ALL` is most of them at once."""
ALL = " ".join(v for k, v in NAMES.items() if len(v) < 1000 and k != "half a letter") + "z" * 3000
FRAGMENTS = ("<script", "<img src=http", "onerror=alert(1)>", "<svg", "</style></title>", "<base", "<!--")

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "nav", "ul", "li", "a", "main",
    "section", "strong", "div", "figure", "img", "figcaption", "details", "summary", "table", "caption", "thead",
    "tbody", "tr", "th", "td", "code", "pre", "sub", "span",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "aria-label", "aria-labelledby", "src",
    "alt", "width", "scope", "tabindex",
}  # fmt: skip


class Reader(HTMLParser):
    """The elements of a page, and where their addresses lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src")}


def check_page(html: str) -> None:
    """A page has the template's elements and attributes, and leads nowhere but to itself and the store."""
    read = Reader(html)
    assert read.tags <= TAGS
    assert read.attributes <= ATTRIBUTES
    allowed = ("#", "data:image/png;base64,", "http://127.0.0.1:")
    assert [a[:80] for a in read.addresses if not a.startswith(allowed)] == []
    assert [f for f in FRAGMENTS if f in html.replace("<!DOCTYPE", "")] == []
    assert "y" * 700 not in html
    assert [c for c in html if not c.isprintable() and c != "\n"] == []
    html.encode()


def check_lines(text: str) -> None:
    """What was printed holds nothing that a terminal obeys, and no line without end."""
    for line in text.split("\n"):
        assert [c for c in line if not c.isprintable()] == []
        assert len(line) <= 2200


def check_files(out: Path, names: set[str]) -> None:
    """What lies in the folder, beside the figures; every name is short and plain."""
    assert {p.name for p in out.iterdir()} == names
    for path in out.rglob("*"):
        assert path.name.isascii()
        assert path.name.replace("-", "a").replace("_", "a").replace(".", "a").isalnum()
        assert len(path.name) < 100
        if path.suffix == ".json":
            json.loads(path.read_text())


@contextmanager
def nothing_else_in(folder: Path, *allowed: Path) -> Iterator[None]:
    """Nothing is made below the folder but in the allowed ones."""

    def there() -> set[Path]:
        return {p for p in folder.rglob("*") if not any(p.is_relative_to(a) for a in allowed)}

    before = there()
    yield
    assert there() - before == set()
