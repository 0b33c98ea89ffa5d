"""Read the imports of the package without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT


@dataclass(frozen=True)
class Import:
    """One import: who, whom (a dotted name), and how it comes about.

    Attributes
    ----------
    late
        Inside a function: nothing is loaded before that function is called.
    typing_only
        Below ``if TYPE_CHECKING``: never executed.
    """

    importer: str
    imported: str
    late: bool
    typing_only: bool

    @property
    def top(self) -> str:
        """The imported name's first part: the library."""
        return self.imported.partition(".")[0]


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the checkout."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files() -> list[Path]:
    """Return every Python file that is installed."""
    return sorted(
        path for folder in ("hydra_plugins", "sweep") for path in (ROOT / folder).rglob("*.py")
    )


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import statement of a file, `from package import module` as package.module."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    yield from _walk(tree, module_name(path), late=False, typing_only=False)


def _walk(node: ast.AST, importer: str, late: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(importer, alias.name, late, typing_only)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{importer} has a relative import; write the whole name"
            for alias in child.names:
                yield Import(importer, _target(child.module or "", alias.name), late, typing_only)
        elif (name := _imported_by_call(child)) is not None:
            yield Import(importer, name, late, typing_only)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(child, importer, True, typing_only)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), importer, late, True)
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), importer, late, typing_only)
        else:
            yield from _walk(child, importer, late, typing_only)


def _imported_by_call(node: ast.AST) -> str | None:
    """Return the name in ``importlib.import_module("name")``; None for anything else."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        if node.args and isinstance(node.args[0], ast.Constant):
            return str(node.args[0].value)
    return None


def _target(module: str, name: str) -> str:
    """Return package.module where the imported name is a module of ours, else the module."""
    inner = ROOT.joinpath(*module.split("."), name)
    return f"{module}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else module
