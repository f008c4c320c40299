"""Pages to look at: one HTML file that asks for nothing else.

`markup` makes elements and escapes everything that is not its own, `charts` and `line_chart` draw
as SVG, `document` makes the page around them.
"""
