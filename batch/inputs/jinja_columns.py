"""The columns that a Jinja2 template needs, found in its syntax tree."""

from collections import Counter
from collections.abc import Collection, Iterator

from jinja2 import meta, nodes

ROW = "row"
"""The name that the whole row has in a template."""

_GUARDS = {"defined", "undefined", "default", "d"}  # tests and filters for columns that may lack


def needed_columns(tree: nodes.Template, global_names: Collection[str]) -> frozenset[str]:
    """Return the columns that every row must have: those that the template does not itself look
    after where they are missing.

    A column is a name, or `row['name']`, `row.name` and a printed `row.get('name')`. A name of
    Jinja's own, such as `range`, is a column where it is not called.
    """
    columns = meta.find_undeclared_variables(tree) - set(global_names)
    columns |= {name for name in global_names if _is_only_read(tree, name)}
    guarded = _guarded(tree)
    if ROW in columns:
        columns.remove(ROW)
        if not _is_assigned(tree, ROW):
            columns |= {name for node in tree.find_all(nodes.Expr) if (name := _cell(node))}
            gets = Counter(name for node in tree.find_all(nodes.Call) if (name := _get(node)))
            printed = Counter(_printed_gets(tree))
            columns |= printed.keys()
            guarded |= {name for name, count in gets.items() if count > printed[name]}
    return frozenset(columns - guarded)


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
    if isinstance(node, nodes.Getattr) and _is_row(node.node) and not hasattr(dict, node.attr):
        return node.attr
    return None


def _get(node: nodes.Node) -> str | None:
    """Return the column that `row.get('name')` reads; None for any other expression."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.args:
        method = node.node
        if method.attr == "get" and _is_row(method.node):
            return _text(node.args[0])
    return None


def _printed_gets(tree: nodes.Template) -> Iterator[str]:
    """Yield the columns of `row.get('name')` whose cells are printed: a null would be "None".

    With a second argument, in a condition or beside `or`, the template itself looks after it.
    """
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            expression: nodes.Node | None = node
            while isinstance(expression, nodes.Filter) and expression.name not in _GUARDS:
                expression = expression.node
            if isinstance(expression, nodes.Call) and len(expression.args) == 1:
                name = _get(expression)
                if name is not None:
                    yield name


def _guarded(tree: nodes.Template) -> set[str]:
    """Return the columns that the template itself looks after where they are missing."""
    guarded: set[str] = set()
    for node in tree.find_all((nodes.Test, nodes.Filter)):
        if isinstance(node, nodes.Test | nodes.Filter) and node.name in _GUARDS and node.node:
            name = node.node.name if isinstance(node.node, nodes.Name) else _cell(node.node)
            if name is not None:
                guarded.add(name)
    for compare in tree.find_all(nodes.Compare):  # 'name' in row
        name = _text(compare.expr)
        if name is not None and any(_is_row(operand.expr) for operand in compare.ops):
            guarded.add(name)
    return guarded


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == ROW


def _text(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
