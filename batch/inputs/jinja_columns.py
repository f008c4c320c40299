"""The columns that a Jinja2 template needs, found in its syntax tree."""

from collections import Counter
from collections.abc import Collection, Iterator

from jinja2 import meta, nodes

ROW = "row"
"""The name that the whole row has in a template."""

METHOD = "()"
"""What the name of an attribute that is called begins with, once `mark_methods` has seen it."""

_DEFAULTS = {"default", "d"}
_MISSING_GUARDS = {"defined", "undefined", *_DEFAULTS}  # tests and filters for missing columns
_NULL_TESTS = {"none", "string", "number", "mapping"}


def mark_methods(tree: nodes.Template) -> None:
    """Mark the attributes that are called: `o.items()` is a method, `o.items` may be a key."""
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr):
            call.node.attr = METHOD + call.node.attr


def used_columns(
    tree: nodes.Template, global_names: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns that every row must have, and those whose cells must not be empty: all
    but those that the template itself looks after where they are missing, or null.

    A column is a name, or `row['name']`, `row.name` and a printed `row.get('name')`. A name of
    Jinja's own, such as `range`, is a column where it is not called. `mark_methods` comes first.
    """
    columns = meta.find_undeclared_variables(tree) - set(global_names)
    columns |= {name for name in global_names if _is_only_read(tree, name)}
    guarded = _guarded(tree)
    cells = columns.copy()
    if ROW in columns:
        columns.remove(ROW)
        cells.remove(ROW)
        if not _is_assigned(tree, ROW):
            columns |= {name for node in tree.find_all(nodes.Expr) if (name := _cell(node))}
            cells |= columns
            gets = Counter(name for node in tree.find_all(nodes.Call) if (name := _get(node)))
            printed = Counter(_printed_gets(tree, with_default=False))
            columns |= printed.keys()
            guarded |= {name for name, count in gets.items() if count > printed[name]}
            cells |= {*_printed_gets(tree, with_default=True)}
    return frozenset(columns - guarded), frozenset(cells - _guarded_from_null(tree))


def _is_only_read(tree: nodes.Template, name: str) -> bool:
    """Whether a template reads a name and neither calls it nor gives it a value."""
    called = {id(node.node) for node in tree.find_all(nodes.Call)}
    uses = [node for node in tree.find_all(nodes.Name) if node.name == name]
    return bool(uses) and all(node.ctx == "load" and id(node) not in called for node in uses)


def _is_assigned(tree: nodes.Template, name: str) -> bool:
    """Whether the template gives a name a value of its own, as a loop does."""
    return any(node.name == name and node.ctx != "load" for node in tree.find_all(nodes.Name))


def _cell(node: nodes.Node) -> str | None:
    """Return the column that `row['name']` or `row.name` reads; None for any other expression."""
    if isinstance(node, nodes.Getitem) and _is_row(node.node):
        return _text(node.arg)
    if isinstance(node, nodes.Getattr) and _is_row(node.node) and METHOD not in node.attr:
        return node.attr
    return None


def _get(node: nodes.Node) -> str | None:
    """Return the column that `row.get('name')` reads; None for any other expression."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.args:
        method = node.node
        if method.attr == METHOD + "get" and _is_row(method.node):
            return _text(node.args[0])
    return None


def _printed_gets(tree: nodes.Template, *, with_default: bool) -> Iterator[str]:
    """Yield the columns of `row.get('name')` whose cells are printed as they are.

    With a second argument, the template itself looks after the column where it is missing; in a
    condition or beside `or`, and with a filter for null, it looks after null too.
    """
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            expression: nodes.Node | None = node
            while isinstance(expression, nodes.Filter) and not _replaces_null(expression):
                expression = expression.node
            if isinstance(expression, nodes.Call) and (with_default or len(expression.args) == 1):
                name = _get(expression)
                if name is not None:
                    yield name


def _guarded(tree: nodes.Template) -> set[str]:
    """Return the columns that the template itself looks after where they are missing."""
    guarded: set[str] = set()
    for node in tree.find_all((nodes.Test, nodes.Filter)):
        if isinstance(node, nodes.Test | nodes.Filter) and node.name in _MISSING_GUARDS:
            name = (_cell(node.node) or _name(node.node)) if node.node is not None else None
            if name is not None:
                guarded.add(name)
    for compare in tree.find_all(nodes.Compare):  # 'name' in row
        name = _text(compare.expr)
        if name is not None and any(_is_row(operand.expr) for operand in compare.ops):
            guarded.add(name)
    return guarded


def _guarded_from_null(tree: nodes.Template) -> set[str]:
    """Return the columns that the template itself looks after where they are null."""
    looked_at: list[nodes.Node | None] = []
    for condition in tree.find_all((nodes.If, nodes.CondExpr)):
        assert isinstance(condition, nodes.If | nodes.CondExpr)
        looked_at += _truths(condition.test)
    for either in tree.find_all((nodes.Or, nodes.And)):  # the last one may be what is printed
        assert isinstance(either, nodes.Or | nodes.And)
        looked_at += _truths(either.left)
    looked_at += [node.node for node in tree.find_all(nodes.Test) if node.name in _NULL_TESTS]
    looked_at += [node.node for node in tree.find_all(nodes.Filter) if _replaces_null(node)]
    for compare in tree.find_all(nodes.Compare):
        if any(_is_null(operand.expr) for operand in compare.ops):
            looked_at.append(compare.expr)
    names = (_cell(node) or _get(node) or _name(node) for node in looked_at if node is not None)
    return {name for name in names if name is not None}


def _truths(node: nodes.Node) -> list[nodes.Node]:
    """Return the expressions whose truth decides on that of a condition."""
    if isinstance(node, nodes.Not):
        return _truths(node.node)
    if isinstance(node, nodes.And | nodes.Or):
        return [*_truths(node.left), *_truths(node.right)]
    return [node]


def _replaces_null(node: nodes.Filter) -> bool:
    """Whether a filter is `default(x, true)`: without `true` it leaves null as it is."""
    booleans = [*node.args[1:], *(pair.value for pair in node.kwargs if pair.key == "boolean")]
    is_true = any(isinstance(one, nodes.Const) and one.value is True for one in booleans)
    return node.name in _DEFAULTS and is_true


def _is_null(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and node.value is None


def _name(node: nodes.Node) -> str | None:
    return node.name if isinstance(node, nodes.Name) else None


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == ROW


def _text(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
