"""Small faults for a source: a comparison the other way, a condition or a call left out, another constant."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

_OPERATORS = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_SQL = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(\w+\.)?store = :store\s+AND ", ""),
        (r"\n +AND [^\n()]+(?=\n)", ""),
        (r" <> ", " = "),
        (r" >= ", " > "),
        (r" > ", " >= "),
        (r" <= ", " < "),
        (r" < ", " <= "),
        (r"\bIS NULL\b", "IS NOT NULL"),
        (r"\bIS NOT NULL\b", "IS NULL"),
        (r" DESC\b", " ASC"),
        (r" OR ", " AND "),
        (r"\bLEFT JOIN\b", "JOIN"),
        (r"\bNOT EXISTS\b", "EXISTS"),
        (r"\bmin\(", "max("),
        (r"\bmax\(", "min("),
        (r"\bleast\(", "greatest("),
        (r"\bgreatest\(", "least("),
        (r" - ", " + "),
    )
]
_STATEMENT = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b")


@dataclass(frozen=True)
class Mutant:
    """A source with one fault in it: the bytes from `start` to `end` are replaced."""

    start: int
    end: int
    replacement: bytes

    def apply(self, source: bytes) -> bytes:
        """The source with the fault."""
        return source[: self.start] + self.replacement + source[self.end :]

    def describe(self, source: bytes) -> str:
        """Its line, and what became of what."""
        line = source[: self.start].count(b"\n") + 1
        before = " ".join(source[self.start : self.end].decode().split())
        after = " ".join(self.replacement.decode().split())
        return f"{line}: {before!r} -> {after!r}"


def mutants_of(name: str, source: bytes) -> list[Mutant]:
    """All the faults there are for a file of this name."""
    if name.endswith(".sql"):
        lines = source.splitlines(keepends=True)
        header = sum(map(len, takewhile(lambda line: line.startswith(b"--"), lines)))
        return list(_in_sql(source, header, len(source)))
    found = [*_in_python(source), *_in_strings(source)]
    return [mutant for mutant in dict.fromkeys(found) if _compiles(mutant.apply(source))]


def _compiles(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _in_sql(source: bytes, start: int, end: int) -> Iterator[Mutant]:
    statement = source[start:end].decode()
    for pattern, replacement in _SQL:
        for found in pattern.finditer(statement):
            first = start + len(statement[: found.start()].encode())
            yield Mutant(first, first + len(found.group().encode()), replacement.encode())


def _in_strings(source: bytes) -> Iterator[Mutant]:
    """Faults in the SQL of a Python file."""
    starts = _line_starts(source)
    lines = source.decode().splitlines(keepends=True)

    def place(position: tuple[int, int]) -> int:
        line, column = position
        return starts[line - 1] + len(lines[line - 1][:column].encode())

    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.STRING and _STATEMENT.search(token.string):
            yield from _in_sql(source, place(token.start), place(token.end))


def _line_starts(source: bytes) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


class _Faults(ast.NodeVisitor):
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = _line_starts(source)
        self.found: list[Mutant] = []

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _replace(self, node: ast.expr | ast.stmt, replacement: bytes) -> None:
        self.found.append(Mutant(*self._span(node), replacement))

    def _text(self, node: ast.expr) -> bytes:
        start, end = self._span(node)
        return self.source[start:end]

    def visit_Compare(self, node: ast.Compare) -> None:
        for (left, right), operator in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            start, end = self._span(left)[1], self._span(right)[0]
            old, new = _OPERATORS[type(operator)]
            between = self.source[start:end].decode()
            self.found.append(Mutant(start, end, between.replace(old, new, 1).encode()))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = b" and " if isinstance(node.op, ast.And) else b" or "
        for left_out in range(len(node.values)):
            kept = [self._text(value) for place, value in enumerate(node.values) if place != left_out]
            self._replace(node, b"(" + word.join(b"(" + value + b")" for value in kept) + b")")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, b"(" + self._text(node.operand) + b")")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value).encode())
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1).encode())

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._replace(node, b"None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
            self._replace(node.test, b"not (" + self._text(node.test) + b")")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        # Neither decorators nor annotations do anything.
        for part in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)


def _in_python(source: bytes) -> list[Mutant]:
    faults = _Faults(source)
    faults.visit(ast.parse(source))
    return faults.found
