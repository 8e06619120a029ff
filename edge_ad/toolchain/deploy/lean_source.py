"""Python source without what only a reader needs; every statement stays on its line, as tracebacks tell."""

from __future__ import annotations

import ast
import io
import tokenize


def lean(source: bytes) -> bytes:
    """The source without comments, and with empty strings for strings that are statements (docstrings).

    What runs is the same but for `__doc__`. Raises SyntaxError.
    """
    text = source.decode()
    lines = text.splitlines(keepends=True)
    # Positions of ast count bytes, those of tokenize characters; from the end, so that what is before stays.
    for node in sorted(_statement_strings(ast.parse(text)), key=lambda n: n.lineno, reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before = lines[first].encode()[: node.col_offset].decode()
        after = lines[last].encode()[node.end_col_offset or 0 :].decode()
        lines[first : last + 1] = [f'{before}""{after}', *["\n"] * (last - first)]
    text = "".join(lines)
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = f"{lines[row - 1][:column].rstrip()}\n"
    return "".join(lines).encode()


def _statement_strings(tree: ast.AST) -> list[ast.Expr]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
