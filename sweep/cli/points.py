"""Points of a grid that are given one by one, and conditions that leave points out."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from yaml import MarkedYAMLError

from sweep.checks import did_you_mean
from sweep.cli.arguments import describes_run
from sweep.cli.axes import grid_of, parse, quoted, refusals
from sweep.cli.messages import listed
from sweep.config.spec import shown
from sweep.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

    from sweep.cli.compose import Composer

__all__ = ["conditions", "fold_axis", "points_of", "skipped"]

KEY = "hydra.sweeper.points"
FORM = "give a list of mappings, [{lr: 0.1, iters: 10}, ...], or the path of a .csv or .yaml file"


def fold_axis(composer: Composer, overrides: Sequence[Override], sweep_id: str) -> list[Override]:
    """Return the axis of the parts that ``data.folds`` makes, unless the command names them."""
    if any(override.key_or_group == "data.fold" for override in overrides):
        return []
    first = [grid_of([override], Path.cwd(), 1)[0][0] for override in overrides]
    data = composer.compose([*first, f"parent={sweep_id}"], 0).values.get("data")
    folds = data.get("folds") if isinstance(data, Mapping) else None
    if not isinstance(folds, int) or folds < 2:
        return []
    return parse(None, [f"data.fold={','.join(map(str, range(folds)))}"])


def points_of(given: Any, base: Path, loader: ConfigLoader | None) -> list[list[Override]]:
    """Return the points that ``hydra.sweeper.points`` gives, as overrides.

    Parameters
    ----------
    given
        A list of mappings from key to value, or the path of a CSV or YAML file. In a mapping a
        list is several values, and text is read as on the command line: the mapping is a grid of
        its own. In a CSV file the header names the keys, each row is one point, and an empty
        cell leaves its key as it is.
    base
        The folder that a relative path is relative to.

    Raises
    ------
    ConfigErrors
        The file cannot be read, or an entry is no point.
    """
    problems: list[str] = []
    points: list[list[Override]] = []
    parsed: dict[str, tuple[Override, list[str]]] = {}
    with listed(problems):
        for where, entry in _entries(given, base):
            point = []
            for key, value in entry.items():
                if not isinstance(key, str) or not describes_run(key) or key == "experiment":
                    problems.append(f"{where}: {key} does not describe a run; leave it out.")
                    continue
                line = f"{key}={_typed(value)}"
                if line not in parsed:
                    override = parse(loader, [line])[0]
                    parsed[line] = override, refusals(override, base)
                point.append(parsed[line][0])
                problems += [f"{where}: {problem}" for problem in parsed[line][1]]
            points.append(point)
    if problems:
        raise ConfigErrors(problems)
    return points


def _entries(given: Any, base: Path) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield each entry with the words that say where it stands."""
    where = KEY
    if isinstance(given, str):
        path, where = base / Path(given).expanduser(), f"{KEY}={given}"
        try:
            if path.suffix.lower() == ".csv":
                yield from _rows(path, given)
                return
            if path.suffix.lower() not in (".yaml", ".yml"):
                raise ConfigError(f"{where}: {FORM}.")
            given = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        except OSError as error:
            raise ConfigError(f"{where}: it cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: it is not UTF-8; save it so.") from error
        except MarkedYAMLError as error:
            at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ConfigError(f"{where}{at}: this is no YAML ({error.problem}).") from error
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: {FORM}.")
    for number, entry in enumerate(given, start=1):
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(f"{where}: entry {number} is {shown(entry)}; {FORM}.")
        yield f"{where}, entry {number}", entry


def _rows(path: Path, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        keys = [key.strip() for key in next(reader, [])]
        if len(keys) == 1 and ";" in keys[0]:
            raise ConfigError(f"{KEY}={name}: it looks separated by ';'; separate it by commas.")
        if not all(keys) or len(set(keys)) < len(keys) or not keys:
            raise ConfigError(f"{KEY}={name}: name one key a column in the first line, none twice.")
        empty = True
        for row in reader:
            where = f"{KEY}={name}, line {reader.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(keys):
                raise ConfigError(f"{where}: {len(cells)} cells where the header has {len(keys)}.")
            pairs = zip(keys, cells, strict=True)
            yield where, {key: _Cell(cell) for key, cell in pairs if cell}
            empty = False
        if empty:
            raise ConfigError(f"{KEY}={name}: it has no points; write a row for each.")


class _Cell(str):
    """The text of a cell of a CSV file: one value."""


def _typed(value: Any) -> str:
    """Return a value of an entry as it would be typed on the command line."""
    if isinstance(value, _Cell):
        return quoted(value)
    if isinstance(value, list):
        return f"choice({','.join(map(_text, value))})"
    return value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_text(one)}' for key, one in value.items())}}}"
    return quoted(value) if isinstance(value, str) else shown(value)


# --- leaving points out ------------------------------------------------------------------


def conditions(texts: Sequence[str], axes: Sequence[str]) -> dict[str, str]:
    """Return each condition of ``hydra.sweeper.skip`` as pandas' `query` reads it.

    Columns are named c0, c1, … in the order of `axes`.

    Raises
    ------
    ConfigErrors
        One is more than comparisons of axes and values.
    """
    problems: list[str] = []
    found = {}
    for text in texts:
        with listed(problems):
            found[text] = _condition(text, axes)
    if problems:
        raise ConfigErrors(problems)
    return found


def _condition(text: str, axes: Sequence[str]) -> str:
    where = f"hydra.sweeper.skip={text}"
    refusal = ConfigError(
        f"{where}: compare axes with values, as in lr > 1 and iters > 1000; joined by and, or, not."
    )

    def condition(node: ast.expr) -> ast.expr:
        match node:
            case ast.BoolOp(op, values):
                return ast.BoolOp(op, [condition(value) for value in values])
            case ast.UnaryOp(ast.Not(), denied):
                return ast.UnaryOp(ast.Not(), condition(denied))
            case ast.Compare(left, operators, others) if all(map(plain, operators)):
                parts = [operand(left), *map(operand, others)]
                # pandas reads == with a list as `in`, and < with one as nothing sensible
                of_in = [False, *(isinstance(one, ast.In | ast.NotIn) for one in operators)]
                if of_in != [isinstance(part, ast.List) for part in parts]:
                    raise ConfigError(
                        f"{where}: a list stands after in, as lr in [1, 2]; an axis of lists is "
                        "compared with text, as network.layers == '[4,3,2]'."
                    )
                if any(isinstance(part, ast.Name) for part in parts):
                    return ast.Compare(parts[0], operators, parts[1:])
        raise refusal

    def plain(operator: ast.cmpop) -> bool:
        return not isinstance(operator, ast.Is | ast.IsNot)

    def operand(node: ast.expr) -> ast.expr:
        match node:
            case ast.Name() | ast.Attribute():
                name = ast.unparse(node)
                if name not in axes:
                    hint = did_you_mean(name, axes) or f"; the axes are {', '.join(axes)}."
                    raise ConfigError(f"{where}: {name} is no axis{hint}")
                return ast.Name(f"c{list(axes).index(name)}", ast.Load())
            case ast.Constant(bool() | int() | float() | str()):
                return node
            case ast.UnaryOp(ast.USub() | ast.UAdd(), ast.Constant(int() | float())):
                return node
            case ast.List(items) | ast.Tuple(items):
                values = [operand(item) for item in items]
                if not any(isinstance(value, ast.Name | ast.List) for value in values):
                    return ast.List(values, ast.Load())
        raise refusal

    try:
        tree = ast.parse(text.strip().replace("`", ""), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise refusal from error
    return ast.unparse(condition(tree.body))


def skipped(
    queries: Mapping[str, str], axes: Sequence[str], values: Mapping[int, Mapping[str, Any]]
) -> dict[int, str]:
    """Return the points that a condition leaves out: their number -> the first such condition.

    Parameters
    ----------
    queries
        As `conditions` returns them.
    values
        The number of each point -> its values of the axes.

    Raises
    ------
    ConfigError
        A condition compares what cannot be compared.
    """
    import pandas as pd

    rows = [[_comparable(point.get(axis)) for axis in axes] for point in values.values()]
    names = [f"c{at}" for at in range(len(axes))]
    table = pd.DataFrame(rows, index=list(values), columns=names).infer_objects()
    found: dict[int, str] = {}
    for text, query in queries.items():
        try:
            chosen = table.query(query, engine="python").index
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"hydra.sweeper.skip={text}: these values cannot be compared ({error})."
            ) from error
        for number in chosen:
            found.setdefault(int(number), text)
    return found


def _comparable(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else shown(value)
