"""Check every link and picture within a built site: the file exists, and the place in it.

python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places |= {attrs.get("id"), attrs.get("name")}
        self.links += [attrs[name] for name in ("href", "src") if attrs.get(name)]


def broken(site):
    """Pairs of page and link that leads nowhere, and the number of links that were looked at."""
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    pages = {path.resolve(): Page(path) for path in paths}
    found, n_links = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            lost = place and target in pages and place not in pages[target].places
            if not target.exists() or lost:
                found.append((path.relative_to(site.resolve()), link))
    return found, n_links


def main(argv=None):
    """Run the command line."""
    (site,) = sys.argv[1:] if argv is None else argv
    found, n_links = broken(Path(site))
    for page, link in found:
        print(f"{page}: {link}")
    print(f"{n_links} links within the site, {len(found)} broken")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
