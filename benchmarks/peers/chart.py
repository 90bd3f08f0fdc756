"""The ratios to the floor as bars: an SVG of plain text, readable on light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.peers.contestants import FLOOR_KEY, PRODUCT_KEY
from benchmarks.peers.operations import OPERATIONS
from benchmarks.peers.results import Results, operations_of, ratio, servers_of

_WIDTH, _LABELS, _ROW, _GAP, _TOP = 760, 250, 22, 44, 20
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .floor { fill: #8c959f } .peer { fill: #8da9c4 } .product { fill: #0a6e5c }
  .line { stroke: #24292f; stroke-dasharray: 3 3; opacity: .5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .line { stroke: #e6edf3 }
    .floor { fill: #6e7681 } .peer { fill: #4f6f91 } .product { fill: #3fb59b }
  }
"""


def svg(results: Results) -> str:
    """One group of bars for each operation; the dashed line is the floor."""
    operations, servers = operations_of(results.samples), servers_of(results.samples)
    height = _TOP + len(operations) * (len(servers) * _ROW + _GAP)
    found = [ratio(results.samples, server, key) for server in servers for key in operations]
    longest = max([1.0, *(one.middle for one in found if one)])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' role="img" aria-label="Requests per second as a ratio to the floor">',
        f"<style>{_STYLE}</style>",
    ]
    for place, key in enumerate(operations):
        top = _TOP + place * (len(servers) * _ROW + _GAP)
        lines += _group(results, servers, key, top, (_WIDTH - _LABELS - 60) / longest)
    return "\n".join([*lines, "</svg>", ""])


def _group(results: Results, servers: Sequence[str], key: str, top: int, unit: float) -> Iterator[str]:
    yield f'<text class="title" x="0" y="{top + 4}">{escape(f"{key}: {OPERATIONS[key].title}".replace("`", ""))}</text>'
    for place, server in enumerate(servers):
        found = ratio(results.samples, server, key)
        if found is None:
            continue
        y = top + 14 + place * _ROW
        kind = {FLOOR_KEY: "floor", PRODUCT_KEY: "product"}.get(server, "peer")
        yield f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(results.titles[server])}</text>'
        length = max(1.0, found.middle * unit)
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{length:.1f}" height="16" rx="2"/>'
        yield f'<text x="{_LABELS + length + 6:.1f}" y="{y + 13}">{found.middle:.2f}</text>'
    line, bottom = _LABELS + unit, top + 14 + len(servers) * _ROW
    yield f'<line class="line" x1="{line:.1f}" x2="{line:.1f}" y1="{top + 8}" y2="{bottom}"/>'
