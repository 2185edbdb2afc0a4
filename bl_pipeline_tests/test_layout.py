"""The layout: which way the imports point, how long files are, and that money is never a float."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import sqlalchemy as sa

from bl_pipeline.bricklink import resources
from bl_pipeline.rules import frames
from bl_pipeline.warehouse import tables

PACKAGE = Path(__file__).parents[1] / "bl_pipeline"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
PARSED = {path: ast.parse(path.read_text()) for path in FILES}


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in FILES}


def imports(path: Path, *, while_running: bool = True) -> Iterator[str]:
    """Every module that a file imports, those only for type checks left out."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(PARSED[path]):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and while_running:
            skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(PARSED[path]):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else str(node.module)


def part(name: str) -> str:
    """bricklink, sync, ... of bl_pipeline.bricklink.client."""
    return name.split(".")[1] if name.startswith("bl_pipeline.") else ""


# What each package may import of bl_pipeline besides itself; the lowest packages come first.
GROUND = {
    "settings",
    "env_file",
    "stores_file",
    "tax_settings",
    "countries",
    "questions",
    "wording",
    "home",
    "project",
    "guard",
    "clock",
    "records",
    "columns",
    "dagster_names",
}
ALLOWED: dict[str, set[str]] = {
    "project": set(),
    "guard": set(),
    "clock": set(),
    "columns": set(),
    "records": {"columns"},
    "postgres_url": set(),
    "countries": set(),
    "questions": set(),
    "wording": set(),
    "toml_file": set(),
    "tax_settings": {"countries", "toml_file"},
    "env_file": set(),
    "stores_file": {"toml_file"},
    "setting_values": {"guard", "columns", "postgres_url", "tax_settings"},
    "settings": {
        "setting_values",
        "env_file",
        "stores_file",
        "records",
        "columns",
        "postgres_url",
        "tax_settings",
        "toml_file",
    },
    "home": {"settings"},
    "dagster_names": {"settings"},
    "sandbox": {"guard"},
    "bricklink": {"clock", "records", "settings"},
    "postgres": GROUND,
    "rules": GROUND | {"bricklink"},
    "reports": GROUND,
    "warehouse": GROUND | {"postgres", "rules", "reports"},
    "books": GROUND | {"reports", "warehouse"},
    "sync": GROUND | {"bricklink", "rules", "reports", "warehouse", "books"},
    "logs": GROUND | {"sync"},
    "defs": GROUND | {"rules", "reports", "warehouse", "sync"},
    "definitions": {"defs", "settings"},
    "running": GROUND | {"sync", "defs"},
    "desk": GROUND | {"bricklink", "rules", "reports", "warehouse", "books", "sync", "logs", "running"},
    "terminal": GROUND
    | {"bricklink", "postgres", "rules", "reports", "warehouse", "books", "sync", "logs", "defs", "running", "desk"},
}
# What starts Dagster.
DAGSTER = ("bl_pipeline.defs", "bl_pipeline.definitions", "bl_pipeline.running", "bl_pipeline.terminal.up",
           "bl_pipeline.terminal.web")  # fmt: skip


def test_imports_point_one_way() -> None:
    """Catches, among others, warehouse and rules importing each other, and a package importing one above it.

    Also if that is only for type checks: whoever reads the one has to read the other.
    """
    wrong = []
    for path in FILES:
        own = part(module(path))
        of_ours = (name for name in imports(path, while_running=False) if name.startswith("bl_pipeline."))
        wrong += [f"{module(path)} -> {name}" for name in {*map(part, of_ours)} - {own} - ALLOWED.get(own, set())]
    assert wrong == []


def test_only_arrows_that_are_needed_are_allowed() -> None:
    """The modules that everybody may use apart."""
    needed: dict[str, set[str]] = {}
    for path in FILES:
        needed.setdefault(part(module(path)), set()).update(map(part, imports(path, while_running=False)))
    unused = {own: allowed - GROUND - needed[own] for own, allowed in ALLOWED.items()}
    assert {own: names for own, names in unused.items() if names} == {}


def test_packages_are_no_circle() -> None:
    """Above the table of what may be imported: following it never leads back."""
    left = dict(ALLOWED)
    while left:
        ground = [name for name, below in left.items() if not below & left.keys()]
        assert ground, f"a circle among {sorted(left)}"
        for name in ground:
            del left[name]


def test_files_are_no_circle() -> None:
    """Imports for type checks count too: two files that need each other's types are one."""
    below = {module(path): set(imports(path, while_running=False)) & MODULES - {module(path)} for path in FILES}
    # A package's own __init__ gives its names to others, not to its files.
    below = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in below.items()}
    while ground := [name for name, others in below.items() if not others & below.keys()]:
        for name in ground:
            del below[name]
    assert below == {}


def test_dagster_is_known_only_to_defs_and_to_what_starts_it() -> None:
    wrong = [
        module(path)
        for path in FILES
        if not module(path).startswith(DAGSTER)
        and any(name.split(".")[0].startswith("dagster") for name in imports(path, while_running=False))
    ]
    assert wrong == []


def test_the_api_is_used_by_its_public_names() -> None:
    """bricklink's own modules are its own business; all that resources.py has is public, and what loads Arrow."""
    public = {"bl_pipeline.bricklink.resources", "bl_pipeline.bricklink.arrow_reading"}
    wrong = [
        f"{module(path)} -> {name}"
        for path in FILES
        if part(module(path)) != "bricklink"
        for name in imports(path, while_running=False)
        if name.startswith("bl_pipeline.bricklink.") and name not in public
    ]
    assert wrong == []


def test_files_are_of_a_length_to_read() -> None:
    """Of the product, the benchmarks and these tests; a migration is never changed again."""
    folders = [PACKAGE, PACKAGE.with_name("bl_pipeline_tests"), PACKAGE.with_name("benchmarks")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files if "migrations" not in path.parts}
    assert len(lengths) > 500
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_one_module_reads_the_clock() -> None:
    """So that another clock can be handed in; the sandbox has its own."""
    reading = {module(path) for path in FILES if re.search(r"datetime\.now\(|time\.time\(", path.read_text())}
    assert {name for name in reading if "sandbox" not in name} == {"bl_pipeline.clock"}


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not {path.stem for path in FILES} & {"utils", "util", "helpers", "helper", "common", "misc"}


def test_settings_are_read_in_one_place() -> None:
    wrong = []
    for path in FILES:
        for node in ast.walk(PARSED[path]):
            if isinstance(node, ast.Call | ast.Subscript):
                read = ast.unparse(node)
                if read.startswith(("os.environ", "os.getenv", "getenv", "environ")):
                    wrong += [read] if "'BL_" in read or "'BRICKLINK_" in read else []
    assert wrong == []


def test_settings_come_from_the_entry_points() -> None:
    """A command or a callback of Dagster reads them and hands them on, so a second store needs no other code.

    Planted: load_stores in a module of sync/, and in one of the desk's pages.
    """
    entries = (
        "bl_pipeline.terminal.", "bl_pipeline.defs.", "bl_pipeline.definitions", "bl_pipeline.desk.launched",
        "bl_pipeline.desk.serving",
    )  # fmt: skip
    readers = {"load_settings", "load_stores", "load_installation"}
    calls = {
        module(path)
        for path in FILES
        for node in ast.walk(PARSED[path])
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in readers
    }
    assert "bl_pipeline.definitions" in calls
    assert {name for name in calls if not name.startswith(entries)} == set()


def documented(node: ast.AST, *, public: bool = True) -> Iterator[str]:
    """Names of the public classes and functions below a node that have no docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") or {"overload", "property_setter"} & {
                ast.unparse(d) for d in child.decorator_list
            }:
                continue
            if ast.get_docstring(child) is None:
                yield child.name
            if isinstance(child, ast.ClassDef):
                yield from (f"{child.name}.{name}" for name in documented(child))


# What Dagster asks for says what it does in `description`, which the UI shows.
DESCRIBED = {"op", "job", "asset", "graph", "config_mapping", "sensor", "schedule", "multi_asset_check", "asset_check"}


def described(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(PARSED[path])
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if DESCRIBED & set(ast.unparse(decorator).replace("(", ".").split("."))
    }


def test_everything_public_has_a_docstring() -> None:
    assert [module(path) for path in FILES if not ast.get_docstring(PARSED[path])] == []
    missing = {module(path): set(documented(PARSED[path])) - described(path) for path in FILES}
    assert {name: names for name, names in missing.items() if names} == SELF_EXPLANATORY


SELF_EXPLANATORY = {
    "bl_pipeline.bricklink.resources": {"PersonName", "Shipping"},
    "bl_pipeline.sandbox.handler": {"Handler.setup", "Handler.handle", "Handler.finish"},
}
"""What their names, or the class that they come from, say already."""


MONEY_PARTS = ("rules", "sync", "books", "warehouse", "bricklink", "defs", "records", "columns", "settings")


def floats(path: Path) -> Iterator[str]:
    """Every line that names the type float, or has a float in it."""
    lines = path.read_text().splitlines()
    for node in (node for node in ast.walk(PARSED[path]) if isinstance(node, ast.expr)):
        named = isinstance(node, ast.Name) and node.id in {"float", "Float", "REAL", "DOUBLE_PRECISION"}
        arrow = isinstance(node, ast.Attribute) and node.attr in {"float16", "float32", "float64", "Float", "float_"}
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        if named or arrow or literal:
            yield lines[node.lineno - 1].strip()


SECONDS = ("second", "timeout", "wait", "sleep", "TIMEOUT", "retry_after", "duration")


def test_only_seconds_are_floats() -> None:
    """Catches a float( on an amount, a Float column, an Arrow float, a rate written as 0.19."""
    wrong = [
        f"{module(path)}: {line}"
        for path in FILES
        # Charts deal in points on the paper.
        if part(module(path)) in MONEY_PARTS and path.stem != "charts"
        for line in floats(path)
        if not any(word in line for word in SECONDS)
    ]
    assert wrong == []


def test_no_field_of_a_resource_is_a_float() -> None:
    """Amounts are text as received until they are Decimal."""
    kinds = [
        kind for kind in vars(resources).values() if isinstance(kind, type) and issubclass(kind, resources.Resource)
    ]
    assert len(kinds) > 8
    money = {"subtotal", "grand_total", "final_total", "etc1", "etc2", "insurance", "shipping", "credit", "coupon",
             "salesTax", "vat_rate", "vat_amount", "total_weight", "weight", "unit_price", "unit_price_final",
             "disp_unit_price", "disp_unit_price_final", "order_cost"}  # fmt: skip
    seen = set()
    for kind in kinds:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            types = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
            assert not any(isinstance(each, msgspec.inspect.FloatType | msgspec.inspect.AnyType) for each in types)
            if field.encode_name in money and not any(isinstance(t, msgspec.inspect.StructType) for t in types):
                assert any(isinstance(each, msgspec.inspect.StrType) and each.pattern for each in types), field.name
                seen.add(field.encode_name)
    assert seen == money


def test_no_column_is_a_float() -> None:
    columns = [column for table in tables.metadata.tables.values() for column in table.columns]
    assert not [str(column) for column in columns if isinstance(column.type, sa.Float)]
    amounts = [column for column in columns if isinstance(column.type, sa.Numeric)]
    kinds = [column.type for column in columns if isinstance(column.type, sa.Numeric)]
    assert {(kind.precision, kind.scale, kind.asdecimal) for kind in kinds} == {
        (19, 4, True),
        (19, 2, True),  # the journal's, in whole cents
        (12, 3, True),  # seconds
    }
    money = {"subtotal", "shipping", "fees", "total", "final_total", "insurance", "etc1", "etc2", "tax", "credit",
             "coupon", "vat_amount"}  # fmt: skip
    assert money <= {column.name for column in amounts if column.table is tables.orders}
    assert {str(field.type) for schema in frames.SCHEMAS.values() for field in schema} == {
        "string", "list<item: string>", "int64", "int32", "bool", "decimal128(19, 4)", "timestamp[us, tz=UTC]",
    }  # fmt: skip
