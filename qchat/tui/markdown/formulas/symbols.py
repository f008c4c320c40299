"""Commands and characters that are atoms, with their classes; accents and alphabets."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from .tree import Kind, Symbol

_PAIRS: Final = r"""
epsilon ϵ varepsilon ε phi ϕ varphi φ omicron ο
ast ∗ star ⋆ circ ∘ bullet • cdot · cdotp · setminus ∖ smallsetminus ∖ lor ∨ land ∧
le ≤ leq ≤ lt < ge ≥ geq ≥ gt > ne ≠ neq ≠ ll ≪ gg ≫ mid ∣ parallel ∥ perp ⊥ models ⊨ coloneqq ≔
coloneq ≔ eqqcolon ≕ triangleq ≜ vcentcolon : ratio : owns ∋ iff ⟺ implies ⟹ impliedby ⟸ gets ← to →
longrightarrow ⟶ longleftarrow ⟵ longleftrightarrow ⟷ Longrightarrow ⟹ Longleftarrow ⟸
Longleftrightarrow ⟺ longmapsto ⟼ leadsto ⇝ rightsquigarrow ⇝ iiiint ⨌ intop ∫ ointop ∮
emptyset ∅ varnothing ∅ neg ¬ lnot ¬ triangle △ vartriangle △ square □ Box □ Diamond ◇ diamond ⋄
top ⊤ bot ⊥ prime ′ backprime ‵ hbar ℏ ell ℓ Re ℜ Im ℑ degree ° checkmark ✓ AA Å
ldots … dots … dotsc … dotso … cdots ⋯ dotsb ⋯ dotsm ⋯ dotsi ⋯ vdots ⋮ ddots ⋱ colon :
lbrace { rbrace } lbrack [ rbrack ] lparen ( rparen ) langle ⟨ rangle ⟩ lAngle ⟪ rAngle ⟫
lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ lgroup ⟮ rgroup ⟯ lmoustache ⎰ rmoustache ⎱ llbracket ⟦
rrbracket ⟧ vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ backslash \ imath ı jmath ȷ
copyright © pounds £ S § P ¶ minuso ⊖ surd √ And & lq ‘ rq ’ sharp ♯ flat ♭ natural ♮
i ı j ȷ o ø O Ø l ł L Ł ss ß textdollar $ textbackslash \ textasciitilde ~ textasciicircum ^
"""

COMMANDS: Final = dict(zip(_PAIRS.split()[::2], _PAIRS.split()[1::2], strict=True)) | {
    name: name for name in "{}$%&#_"
}
COMMANDS["|"] = "‖"

FUNCTIONS: Final = {
    name: name
    for name in """
    sin cos tan cot sec csc sinh cosh tanh coth sech csch arcsin arccos arctan arccot arcsinh
    arccosh arctanh log ln lg lb exp lim max min sup inf arg argmax argmin det dim ker hom deg
    gcd lcm Pr tr rank sgn Var Cov erf diag span curl grad div rot injlim projlim plim arctg
    arcctg ch cosec cotg ctg cth sh tg th
    """.split()  # noqa: SIM905
} | {
    "limsup": "lim sup",
    "liminf": "lim inf",
    "varlimsup": "lim\u0305",
    "varliminf": "lim\u0332",
    "varinjlim": "lim→",
    "varprojlim": "lim←",
    "Tr": "Tr",
}
"""Operators that are drawn as an upright name, as TeX, KaTeX and the physics package have them."""
del FUNCTIONS["div"]  # the sign ÷

WITH_LIMITS: Final = frozenset(
    """
    lim max min sup inf limsup liminf varlimsup varliminf argmax argmin det gcd Pr injlim
    projlim varinjlim varprojlim plim
    """.split()  # noqa: SIM905
)
"""Functions whose scripts stand below and above in display style."""

SPACES: Final = {
    ",": 1, "thinspace": 1, ":": 1, ">": 1, "medspace": 1, ";": 1, "thickspace": 1, " ": 1, "\n": 1,
    "enspace": 1, "nobreakspace": 1, "space": 1, "quad": 2, "enskip": 1, "qquad": 4,
    "hfill": 4, "hfil": 4,
}  # fmt: skip
"""Commands of horizontal space, in cells."""

ACCENTS: Final = {
    "hat": "\u0302", "widehat": "\u0302", "check": "\u030c", "widecheck": "\u030c",
    "tilde": "\u0303", "widetilde": "\u0303", "acute": "\u0301", "grave": "\u0300",
    "dot": "\u0307", "ddot": "\u0308", "dddot": "\u20db", "ddddot": "\u20dc", "breve": "\u0306",
    "bar": "\u0304", "overline": "\u0305", "mathring": "\u030a", "vec": "\u20d7",
    "overrightarrow": "\u20d7", "overleftarrow": "\u20d6", "overleftrightarrow": "\u20e1",
    "overrightharpoon": "\u20d1", "overleftharpoon": "\u20d0",
    "overparen": "\u0311", "wideparen": "\u0311", "overgroup": "\u0311", "overarc": "\u0311",
    "underline": "\u0332", "underbar": "\u0331", "utilde": "\u0330", "undergroup": "\u032e",
    "underparen": "\u032e", "underarc": "\u032e", "underrightarrow": "\u20ef",
    "underleftarrow": "\u20ee", "underleftrightarrow": "\u034d", "overlinesegment": "\u0305",
    "underlinesegment": "\u0332", "cancel": "\u0338", "bcancel": "\u20e5",
    "xcancel": "\u0338\u20e5", "sout": "\u0336", "st": "\u0336",
    "uline": "\u0332", "uwave": "\u0330", "slashed": "\u0337",
}  # fmt: skip
"""Combining characters that are put on each character of the argument."""

TEXT_ACCENTS: Final = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "u": "\u0306", "v": "\u030c", "H": "\u030b", "r": "\u030a", "c": "\u0327",
}  # fmt: skip
"""Accents within text: ``\\'e``."""

X_ARROWS: Final = {
    "xrightarrow": "→", "xleftarrow": "←", "xleftrightarrow": "↔", "xRightarrow": "⇒",
    "xLeftarrow": "⇐", "xLeftrightarrow": "⇔", "xhookrightarrow": "↪", "xhookleftarrow": "↩",
    "xtwoheadrightarrow": "↠", "xtwoheadleftarrow": "↞", "xmapsto": "↦", "xlongequal": "=",
    "xtofrom": "⇄", "xrightleftarrows": "⇄", "xrightleftharpoons": "⇌", "xleftrightharpoons": "⇋",
    "xrightequilibrium": "⥂", "xleftequilibrium": "⥄", "xrightharpoonup": "⇀",
    "xrightharpoondown": "⇁", "xleftharpoonup": "↼", "xleftharpoondown": "↽",
}  # fmt: skip

_BINARY: Final = frozenset("+−±∓×÷·∗*⋆∘•∩∪⊓⊔∨∧∖≀⨿†‡⋄△▽◁▷⊲⊳⊞⊟⊠⊡⊎⋒⋓⋏⋎∔∸⋉⋊⋋⋌⊺⊻⊼")
_LARGE: Final = frozenset("∑∏∐∫∬∭∮∯∰⨌⋃⋂⋁⋀⨁⨂⨀⨄⨆⨃⨅")
_RELATIONS: Final = frozenset("=<>≔≕∣∥⊥∝∼≀:")
_OPEN, _CLOSE = frozenset("([{⟨⌈⌊⟮⟦⟪⎰"), frozenset(")]}⟩⌉⌋⟯⟧⟫⎱!")
# Blocks of relations and arrows, and the binary operators in circles.
_RELATION_RANGES: Final = (
    *((0x2190, 0x21FF), (0x2208, 0x220D), (0x223C, 0x228B), (0x228F, 0x2292), (0x22A2, 0x22B8)),
    *((0x22C8, 0x22CD), (0x22D0, 0x22D1), (0x22D4, 0x22ED), (0x27F0, 0x27FF), (0x2900, 0x297F)),
    *((0x2A66, 0x2AFB), (0x2B00, 0x2B4F), (0x1F850, 0x1F8FF)),
)


def symbol(text: str) -> Symbol:
    """Return one character (with combining characters, if any) as an atom of its class."""
    first = text[:1]
    if first in _BINARY or 0x2293 <= ord(first) <= 0x22A1:
        kind = Kind.BINARY
    elif first in _LARGE:
        kind = Kind.LARGE
    elif first in _RELATIONS or any(low <= ord(first) <= high for low, high in _RELATION_RANGES):
        kind = Kind.RELATION
    elif first in _OPEN:
        kind = Kind.OPEN
    elif first in _CLOSE:
        kind = Kind.CLOSE
    elif first in ",;":
        kind = Kind.PUNCTUATION
    else:
        kind = Kind.ORDINARY
    return Symbol(text, kind)


@cache
def _file() -> dict[str, str]:
    lines = Path(__file__).with_name("symbols.txt").read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def command_symbol(name: str) -> Symbol | None:
    """Return the atom that a command stands for; None where it stands for none."""
    text = COMMANDS.get(name)
    if name in ("lvert", "lVert", "rvert", "rVert") and text is not None:
        return Symbol(text, Kind.OPEN if name[0] == "l" else Kind.CLOSE)
    if text is None and name.isalpha():
        text = _file().get(name)  # 3,300 names: read when a name is not among the usual ones
    return None if text is None else symbol(text)


def circled(text: str) -> str:
    """Return a letter, or a number up to 20, in a circle; anything else in parentheses."""
    sign = unicodedata.normalize("NFKC", text.strip())
    circles = (*range(0x2460, 0x2474), *range(0x24B6, 0x24EB))
    return next(
        (chr(c) for c in circles if unicodedata.normalize("NFKC", chr(c)) == sign), f"({sign})"
    )


def negated(text: str) -> str:
    """Return a character with a stroke through it, as ``\\not`` makes it."""
    return unicodedata.normalize("NFC", text[:1] + "\u0338") + text[1:]


_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_GREEK_UPPER, _GREEK_LOWER = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡϴΣΤΥΦΧΨΩ", "αβγδεζηθικλμνξοπρςστυφχψω"
_HOLES: Final = {
    "bb": {"C": "ℂ", "H": "ℍ", "N": "ℕ", "P": "ℙ", "Q": "ℚ", "R": "ℝ", "Z": "ℤ"},
    "script": {
        "B": "ℬ",
        "E": "ℰ",
        "F": "ℱ",
        "H": "ℋ",
        "I": "ℐ",
        "L": "ℒ",
        "M": "ℳ",
        "R": "ℛ",
        "e": "ℯ",
        "g": "ℊ",
        "o": "ℴ",
    },
    "fraktur": {"C": "ℭ", "H": "ℌ", "I": "ℑ", "R": "ℜ", "Z": "ℨ"},
}
"""Letters that Unicode had before it got the mathematical alphabets."""


def _alphabet(upper: int, digits: int = 0, greek: int = 0, holes: str = "") -> dict[int, str]:
    table = {ord(c): chr(upper + n) for n, c in enumerate(_UPPER + _LOWER)}
    if digits:
        table |= {ord(c): chr(digits + n) for n, c in enumerate("0123456789")}
    if greek:
        letters = [*_GREEK_UPPER, "∇", *_GREEK_LOWER, "∂", "ϵ", "ϑ", "ϰ", "ϕ", "ϱ", "ϖ"]
        table |= {ord(c): chr(greek + n) for n, c in enumerate(letters)}
    return table | {ord(c): letter for c, letter in _HOLES.get(holes, {}).items()}


_BOLD: Final = _alphabet(0x1D400, 0x1D7CE, 0x1D6A8)
ALPHABETS: Final = {
    **dict.fromkeys(("mathbf", "boldsymbol", "bm", "pmb", "mathbfit", "symbf", "vb"), _BOLD),
    **dict.fromkeys(
        ("mathbb", "Bbb", "mathds", "mathbbm"), _alphabet(0x1D538, 0x1D7D8, holes="bb")
    ),
    **dict.fromkeys(("mathcal", "mathscr"), _alphabet(0x1D49C, holes="script")),
    **dict.fromkeys(("mathfrak", "frak"), _alphabet(0x1D504, holes="fraktur")),
    **dict.fromkeys(("mathsf", "mathsfit"), _alphabet(0x1D5A0, 0x1D7E2)),
    "mathtt": _alphabet(0x1D670, 0x1D7F6),
}
"""Commands that draw their argument in another alphabet: the characters by their code points."""

SUPERSCRIPTS: Final = dict(
    zip(
        "0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWαβγδεθιφχ′°",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵅᵝᵞᵟᵋᶿᶥᵠᵡ′°",
        strict=True,
    )
)
SUBSCRIPTS: Final = dict(
    zip(
        "0123456789+-−=()aehijklmnoprstuvxβγρφχ",
        "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
        strict=True,
    )
)
