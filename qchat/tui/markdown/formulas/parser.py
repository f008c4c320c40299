"""Parses LaTeX into the tree of `tree`. What it doesn't know stays in the tree as its source."""

from typing import Final

from . import names, symbols
from .bars import BARS
from .environments import ROW_ENDS, lines_of, parse_environment
from .lexer import FormulaError, Lexer
from .macros import expand
from .styles import FONTS, in_font, plain_text, restyle
from .text_mode import TEXT_SCRIPTS, parse_text
from .tree import (
    EMPTY,
    Accent,
    Arrow,
    Boxed,
    Brace,
    Fenced,
    Fraction,
    Kind,
    Node,
    Phantom,
    Root,
    Row,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
    row,
)

MAX_DEPTH: Final = 40


class Parser:
    """Parses one formula, or one cell of a matrix."""

    def __init__(self, source: str, depth: int = 0) -> None:
        self.lexer = Lexer(source)
        self._depth = depth

    def parse(self, closing: str = "") -> Node:
        """Parse up to and including the token `closing`, or to the end where it is ''.

        Raises `FormulaError`.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormulaError("nested too deeply")
        items: list[Node] = []
        lines: list[Node] = []
        font, start = "", 0  # the font of the items from this one on
        while (token := self.lexer.next()) != closing:
            if not token:
                raise FormulaError(f"{closing} is missing")
            if token in ROW_ENDS:
                self.lexer.end_row()
                lines.append(row(in_font(items, start, font)))
                items, start = [], 0
            elif token[0] == "\\" and token[1:] in FONTS:
                items = in_font(items, start, font)
                font, start = token[1:], len(items)
                self.lexer.skip_space()
            elif token[0] == "\\" and token[1:] in names.INFIX:
                before = row(in_font(items, start, font))
                items, font = [self._infix(token[1:], before, closing)], ""
                break
            else:
                self._add(token, items)
        self._depth -= 1
        items = in_font(items, start, font)
        if not lines:
            return row(items)
        return lines_of([*lines, row(items)])

    def argument(self) -> Node:
        """Parse the next argument: a group, or one atom. Raises `FormulaError` without one."""
        self.lexer.skip_space()
        token = self.lexer.next()
        if not token or token in "}^_&":
            raise FormulaError("an argument is missing")
        if token.isdigit():
            return Symbol(token, Kind.NUMBER)
        return self._atom(token)

    def nested(self, source: str) -> Node:
        """Parse a source that was cut out of this one."""
        return Parser(source, self._depth).parse()

    def option(self) -> Node | None:
        """Parse an argument in square brackets; None where there is none."""
        source = self.lexer.raw_option()
        return None if source is None else self.nested(source)

    def _infix(self, name: str, before: Node, closing: str) -> Node:
        if name == "above":
            self.lexer.dimension()
        word, left, right = names.INFIX[name]
        self._depth -= 1  # both sides are on one level
        after = self.parse(closing)
        self._depth += 1
        return Fraction(before, after, word, left, right)

    def _add(self, token: str, items: list[Node]) -> None:
        if token in "^_":
            self._script(token, items)
        elif token[1:] in TEXT_SCRIPTS:
            self._script(TEXT_SCRIPTS[token[1:]], items, self._text())
        elif token == "'":
            self._prime(items)
        elif token.isdigit():
            items.append(self._number(token))
        elif token in ("\\limits", "\\nolimits"):
            self._limits(token == "\\limits", items)
        elif token == ":" and self.lexer.peek() == "=":
            self.lexer.next()
            items.append(Symbol(":=", Kind.RELATION))
        else:
            node = self._atom(token)
            is_group = token == "{" or token[1:] in names.GROUPS
            if is_group and isinstance(node, Row | Script | Fraction) and self._takes_script():
                # {ab}^2: the script belongs to the whole group
                items.append(node if isinstance(node, Row) else Row((node,)))
            elif isinstance(node, Row):
                items.extend(node.items)
            else:
                items.append(node)

    def _takes_script(self) -> bool:
        before = self.lexer.position
        self.lexer.skip_space()
        token = self.lexer.peek()
        self.lexer.position = before
        return token in ("^", "_", "'")

    def _number(self, token: str) -> Symbol:
        digits = token
        while True:
            upcoming = self.lexer.peek()
            tokens = self.lexer.tokens
            following = tokens[self.lexer.position + 1 : self.lexer.position + 2]
            if upcoming.isdigit() or (upcoming == "." and following and following[0].isdigit()):
                digits += self.lexer.next()
            else:
                return Symbol(digits, Kind.NUMBER)

    def _script(self, token: str, items: list[Node], script: Node | None = None) -> None:
        while items and items[-1] == Space():
            items.pop()
        script = self.argument() if script is None else script
        base: Node = items.pop() if items and not isinstance(items[-1], Space) else EMPTY
        sub, sup = (script, None) if token == "_" else (None, script)
        if token == "^" and script == Symbol("∘", Kind.BINARY):
            sup = Symbol("°")
        if isinstance(base, Script):
            primes = token == "^" and _is_primes(base.sup)
            if primes and sup is not None and base.sup is not None:
                sup = row([base.sup, sup])
            if (base.sub is None or sub is None) and (base.sup is None or sup is None or primes):
                items.append(Script(base.base, base.sub or sub, sup or base.sup, base.limits))
                return
            items.append(base)
            base = EMPTY
        items.append(Script(base, sub, sup, _has_limits(base)))

    def _prime(self, items: list[Node]) -> None:
        count = 1
        while self.lexer.accept("'"):
            count += 1
        primes = Symbol("′" * count)
        base: Node = items.pop() if items and not isinstance(items[-1], Space) else EMPTY
        if isinstance(base, Script) and base.sup is None:
            items.append(Script(base.base, base.sub, primes, base.limits))
        elif isinstance(base, Script):
            items.extend((base, Script(EMPTY, None, primes)))
        else:
            items.append(Script(base, None, primes))

    def _limits(self, limits: bool, items: list[Node]) -> None:
        if items and isinstance(items[-1], Symbol) and limits:
            items[-1] = Symbol(items[-1].text, Kind.LARGE)

    def _atom(self, token: str) -> Node:
        if token == "{" or token == "\\bgroup":
            return self.parse("}" if token == "{" else "\\egroup")
        if token in "}&" or token == "\\egroup":
            raise FormulaError(f"{token} without its counterpart")
        if token.isspace():
            return Space()
        if token == "~":
            return Space(1)
        if token == "-":
            return Symbol("−", Kind.BINARY)
        if token.startswith(("\\begin", "\\end")) and token.endswith("}"):
            return self._environment(token)
        if token[0] == "\\":
            return self._command(token[1:])
        return symbols.symbol(token)

    def _environment(self, token: str) -> Node:
        if token.startswith("\\end"):
            raise FormulaError(f"{token} without its counterpart")
        name = token[token.index("{") + 1 : -1].strip()
        return parse_environment(name, self.lexer, self.nested)

    def _command(self, name: str) -> Node:
        if name in names.STARRED and self.lexer.peek() == "*":
            name += self.lexer.next()
            while self.lexer.peek() == "*":  # \mel**
                self.lexer.next()
        if name in symbols.SPACES or name.isspace():
            return Space(symbols.SPACES.get(name, 1))
        if name in symbols.FUNCTIONS:
            return Symbol(symbols.FUNCTIONS[name], Kind.FUNCTION)
        if name in names.IGNORED:
            return EMPTY
        if name in names.WITH_OPTIONS:
            self.lexer.skip_options()
        if name in names.SKIPPED:
            return self._skip(name)
        if name in names.TEXTS:
            return self._text()
        if name in names.DELIMITERS or names.is_big(name):
            return self._delimiter(name)
        if name in symbols.ALPHABETS:
            return restyle(self.argument(), symbols.ALPHABETS[name])
        if name in names.PLAIN:
            return self._plain(name)
        structure = self._structure(name)
        if structure is not None:
            return structure
        expanded = expand(self, name)
        if expanded is not None:
            return expanded
        atom = symbols.command_symbol(name)
        return self._unknown(name) if atom is None else atom

    def _unknown(self, name: str) -> Node:
        """Keep a command that is not known as its source, and draw its arguments in braces."""
        before = "\\" + name
        items: list[Node] = []
        while True:
            start = self.lexer.position
            self.lexer.skip_space()
            option = self.lexer.raw_option() if self.lexer.peek() == "[" else None
            if not self.lexer.accept("{"):  # brackets without braces after them are a formula
                self.lexer.position = start
                return Row(tuple(items)) if items else Symbol(before)
            if option is not None:
                before += f"[{' '.join(option.split())}]"
            items += [Symbol(before + "{", Kind.OPEN), self.parse("}"), Symbol("}", Kind.CLOSE)]
            before = ""

    def _structure(self, name: str) -> Node | None:
        if name in names.FRACTIONS:
            return Fraction(self.argument(), self.argument())
        if name in names.BINOMIALS:
            return Fraction(self.argument(), self.argument(), "choose", "(", ")")
        if name == "sqrt":
            degree = self.option()
            return Root(self.argument(), None if degree == Symbol("2", Kind.NUMBER) else degree)
        if name in symbols.ACCENTS:
            return Accent(self.argument(), symbols.ACCENTS[name])
        if name in names.BRACES:
            return Brace(self.argument(), *names.BRACES[name])
        if name in symbols.X_ARROWS:
            below = self.option()
            return Arrow(symbols.X_ARROWS[name], self.argument(), below)
        if name in ("overset", "stackrel"):
            option = self.option() if name == "stackrel" else None
            above, base = self.argument(), self.argument()
            return Stack(base, above, option)
        if name == "underset":
            below, base = self.argument(), self.argument()
            return Stack(base, below=below)
        if name in ("boxed", "fbox", "framebox"):
            return Boxed(self.argument() if name == "boxed" else self._text())
        if name in ("phantom", "hphantom"):
            return Phantom(self.argument())
        if name in names.UPRIGHT:
            return self._upright(name)
        if name in names.WORDS:
            return Text(names.WORDS[name])
        return None

    def _plain(self, name: str) -> Node:
        body = self.argument()
        if name in names.CLASSES and isinstance(body, Symbol | Text):
            if body.text.isalpha() and len(body.text) > 1 and name == "mathop":
                return Symbol(body.text, Kind.FUNCTION)
            return Symbol(body.text, names.CLASSES[name])
        return body

    def _skip(self, name: str) -> Node:
        """Leave out the arguments that have no form; return the one that is drawn, if any."""
        for _argument in range(names.SKIPPED[name]):
            self.lexer.raw_group()
            if name in names.TEXTS:
                self.lexer.skip_options()
        if name in names.TEXTS:
            return self._text()
        return self.argument() if name in names.WITH_BODY else EMPTY

    def _upright(self, name: str) -> Node:
        body = self.argument()
        text = plain_text(body)
        if text is None:
            return body
        if name.startswith("operatorname"):
            kind = Kind.FUNCTION if text else Kind.ORDINARY
            return Symbol(" ".join(text.split()), kind)
        return Text(text)

    def _delimiter(self, name: str) -> Node:
        text = self.delimiter_text()
        if name == "right":
            raise FormulaError("\\right without \\left")
        if name != "left":
            if text in BARS and name[-1] in names.BAR_KINDS:
                return Symbol(text, names.BAR_KINDS[name[-1]])
            return symbols.symbol(text) if text else EMPTY
        items: list[Node] = []
        while (token := self.lexer.next()) != "\\right":
            if not token:
                raise FormulaError("\\right is missing")
            self._add(token, items)
        return Fenced(text, row(items), self.delimiter_text())

    def delimiter_text(self) -> str:
        """Read a delimiter after ``\\left`` and its like; '' for the invisible one."""
        self.lexer.skip_space()
        token = self.lexer.next()
        if token in (".", ""):
            return ""
        if token[0] != "\\":
            return {"<": "⟨", ">": "⟩"}.get(token, token)
        atom = symbols.command_symbol(token[1:])
        if atom is None:
            raise FormulaError(f"{token} is no delimiter")
        return atom.text

    def _text(self) -> Node:
        return parse_text(self.lexer.raw_group(), self.nested)


def _is_primes(node: Node | None) -> bool:
    return isinstance(node, Symbol) and bool(node.text) and not node.text.strip("′")


def _has_limits(base: Node) -> bool:
    if isinstance(base, Symbol):
        integral = base.text[:1] in "∫∬∭∮∯∰⨌"
        named = base.text in symbols.WITH_LIMITS or base.text in ("lim sup", "lim inf", "arg max")
        large = base.kind is Kind.LARGE and not integral
        return large or (base.kind is Kind.FUNCTION and (named or base.text == "arg min"))
    return isinstance(base, Brace)


def parse(source: str) -> Node:
    """Parse a formula without its delimiters.

    Raises `FormulaError`, for a picture or program in an environment that is not known too: alone,
    it stays as it was written.
    """
    tree = Parser(source).parse()
    if isinstance(tree, Symbol) and tree.text.startswith("\\begin"):
        raise FormulaError("the environment is not known")
    return tree
