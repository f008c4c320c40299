"""Commands that the parser reads itself, by what becomes of them and their arguments."""

import re
from typing import Final

from .tree import Kind

FRACTIONS: Final = frozenset(["frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "fraction"])
BINOMIALS: Final = frozenset(["binom", "dbinom", "tbinom"])
INFIX: Final = {
    "over": ("", "", ""), "above": ("", "", ""), "atop": ("over", "", ""),
    "choose": ("choose", "(", ")"), "brace": ("over", "{", "}"), "brack": ("over", "[", "]"),
}  # fmt: skip
TEXTS: Final = frozenset(
    """
    text textrm textit textbf texttt textsf textsc textup textmd textnormal emph mbox hbox
    makebox parbox colorbox fcolorbox raisebox scalebox resizebox rotatebox reflectbox
    """.split()  # noqa: SIM905
)
"""Commands whose argument is text; those that `SKIPPED` has too have others before it."""
UPRIGHT: Final = frozenset(["mathrm", "operatorname*", "operatorname", "mathup", "symup"])
PLAIN: Final = frozenset(
    """
    mathit mathnormal mathop mathbin mathrel mathord mathopen mathclose mathpunct mathinner
    mathllap mathrlap mathclap llap rlap clap vcenter smash ensuremath lefteqn mathmakebox
    shoveleft shoveright blue red green orange purple pink gray grey teal magenta cyan brown
    violet black
    """.split()  # noqa: SIM905
)
"""Commands drawn as their argument: kerning and colors have no form in plain text."""
CLASSES: Final = {
    "mathop": Kind.LARGE, "mathbin": Kind.BINARY, "mathrel": Kind.RELATION,
    "mathord": Kind.ORDINARY, "mathopen": Kind.OPEN, "mathclose": Kind.CLOSE,
    "mathpunct": Kind.PUNCTUATION,
}  # fmt: skip
IGNORED: Final = frozenset(
    """
    displaystyle textstyle scriptstyle scriptscriptstyle nonumber notag boldmath unboldmath
    tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge rm it bf sf tt
    cal nobreak allowbreak mathstrut strut relax protect ! negthinspace negmedspace
    negthickspace displaylimits centering noindent / - null bigskip medskip smallskip
    """.split()  # noqa: SIM905
)
SKIPPED: Final = {
    "color": 1, "label": 1, "require": 1, "vspace": 1, "vspace*": 1, "vphantom": 1,
    "textcolor": 1, "colorbox": 1, "fcolorbox": 2, "htmlId": 1, "htmlClass": 1, "htmlStyle": 1,
    "htmlData": 1, "href": 1, "raisebox": 1, "hypertarget": 1, "setlength": 2, "class": 1,
    "cssId": 1, "style": 1, "bbox": 0, "leftroot": 1, "uproot": 1, "parbox": 1, "scalebox": 1,
    "resizebox": 2, "rotatebox": 1,
}  # fmt: skip
"""Commands without a form: the number of arguments that go with each."""
WITH_BODY: Final = frozenset(
    """
    textcolor href class cssId style htmlId htmlClass htmlStyle htmlData bbox hypertarget
    """.split()  # noqa: SIM905
)
"""Commands of `SKIPPED` that are drawn as the argument after those."""
GROUPS: Final = PLAIN | WITH_BODY
"""Commands whose argument is one group, as far as a script after it is concerned."""
WITH_OPTIONS: Final = frozenset(
    """
    color textcolor colorbox fcolorbox raisebox parbox rotatebox bbox cfrac smash makebox
    mathmakebox framebox overbracket underbracket
    """.split()  # noqa: SIM905
)
"""Commands with arguments in square brackets (a model of colors, a place, a length) that have no
form either."""
STARRED: Final = frozenset(
    """
    operatorname hspace vspace tag verb abs absolutevalue norm Norm ceil floor set Set bra Bra
    ket Ket braket Braket ip innerproduct ketbra dyad op outerproduct expval ev mel matrixel
    matrixelement qty dv derivative pdv partialderivative fdv functionalderivative comm
    commutator acomm anticommutator pb poissonbracket eval evaluated order vb va vu
    """.split()  # noqa: SIM905
)
"""Commands that have a form with a star; after any other one a star is a product."""
DELIMITERS: Final = frozenset(["left", "right", "middle"])
is_big: Final = re.compile(r"(?:big|Big|bigg|Bigg)[lrm]?$").match
BAR_KINDS: Final = {
    "l": Kind.OPEN, "r": Kind.CLOSE, "m": Kind.RELATION, "e": Kind.RELATION,
}  # fmt: skip
"""The class of a bar by the last letter of its command: ``\\bigl``, ``\\middle``."""
BRACES: Final = {
    "overbrace": (True, False), "underbrace": (False, False), "overbracket": (True, True),
    "underbracket": (False, True),
}  # fmt: skip
WORDS: Final = {"KaTeX": "KaTeX", "LaTeX": "LaTeX", "TeX": "TeX"}
