r"""Chemical equations in the notation of mhchem: ``\ce{2H2 + O2 -> 2H2O}``."""

import re
from typing import Final

_ARROWS: Final = (
    ("<=>>", r"\xrightleftharpoons"), ("<<=>", r"\xrightleftharpoons"),
    ("<=>", r"\xrightleftharpoons"), ("<-->", r"\xleftrightarrow"), ("<->", r"\xleftrightarrow"),
    ("->", r"\xrightarrow"), ("<-", r"\xleftarrow"),
)  # fmt: skip
_token = re.compile(
    r"(?P<arrow><=>>|<<=>|<=>|<-->|<->|->|<-)(?P<above>\[[^\]]*\])?(?P<below>\[[^\]]*\])?"
    r"|(?P<space>\s+)"
    r"|(?P<isotope>\^\{?(?P<mass>[\dA-Za-z]+)\}?_\{?(?P<charge_number>-?\d+)\}?)"
    r"|\^(?P<charge>\{[^}]*\}|\d*[+-]|[\dA-Za-z]+)|_(?P<index>\{[^}]*\}|\w)"
    r"|(?P<math>\$[^$]*\$)|(?P<command>\\[A-Za-z]+|\\.)"
    r"|(?P<amount>\d+(?:[./]\d+)?)|(?P<element>[A-Z][a-z]?)|(?P<other>.)",
    re.DOTALL,
).finditer


def formula_source(source: str) -> str:
    """Return a chemical equation as LaTeX.

    Digits after an element or a bracket are indices, those before one are amounts; a sign at the
    end of a formula is its charge; ``v`` and ``^`` that stand alone mean a precipitate and a gas.
    """
    out: list[str] = []
    attached = False  # whether an element or a bracket stands directly before
    matches = list(_token(source))
    for number, match in enumerate(matches):
        kind = match.lastgroup or ""
        text = match[0]
        following = matches[number + 1] if number + 1 < len(matches) else None
        ends = following is None or following["space"] is not None
        if match["arrow"]:
            out.append(_arrow(match))
            attached = False
        elif match["space"]:
            out.append(" ")
            attached = False
        elif match["isotope"]:
            out.append(f"{{}}^{{{match['mass']}}}_{{{match['charge_number']}}}")
        elif match["charge"] is not None:
            out.append(f"^{{{match['charge'].strip('{}')}}}")
        elif match["index"] is not None:
            out.append(f"_{{{match['index'].strip('{}')}}}")
        elif match["math"]:
            out.append(f"{{{text[1:-1]}}}")
        elif match["amount"]:
            out.append(f"_{{{text}}}" if attached else text)
        elif match["element"]:
            out.append(f"\\mathrm{{{text}}}")
            attached = True
        elif text in "+-" and attached and ends:
            out.append(f"^{{{text}}}")
            attached = False
        elif text in "v^" and not attached and ends:
            out.append("\\downarrow " if text == "v" else "\\uparrow ")
        elif text in ".*":
            out.append("\\cdot ")
            attached = False
        else:
            bond = {"-": "{-}", "=": "{=}", "#": "{\\equiv}"}.get(text)
            out.append(bond if bond and attached else text)
            attached = text in ")]}" or kind == "command"
    return "".join(out)


def _arrow(match: "re.Match[str]") -> str:
    command = dict(_ARROWS)[match["arrow"]]
    above, below = ((match[side] or "[]")[1:-1] for side in ("above", "below"))
    option = f"[\\text{{{below}}}]" if below else ""
    return f" {command}{option}{{\\text{{{above}}}}} " if above else f" {command}{option}{{}} "
