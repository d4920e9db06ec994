"""What a browser would make of a page, read with the standard library."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags in their order with their attributes, the cells of each table row by row, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._cell = False
        self.feed(html.split("</style>")[1].split("<script>", maxsplit=1)[0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data

    def attributes(self, tag: str, name: str) -> list[str | None]:
        """The values of an attribute of all tags of a kind that have it."""
        return [attrs[name] for found, attrs in self.tags if found == tag and name in attrs]
