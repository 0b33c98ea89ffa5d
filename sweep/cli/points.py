"""Listed points of a grid (``hydra.sweeper.points``), and conditions that exclude points."""

from __future__ import annotations

import ast
import csv
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from sweep.checks import did_you_mean, written
from sweep.cli.axes import override_problems, parse, quoted
from sweep.cli.messages import collect_errors, no_such_top_key, one_sentence
from sweep.cli.overrides import run_keys
from sweep.config.spec import shown
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

Condition = Callable[[Mapping[str, Any]], Any]
"""Maps a point's values of the axes to whether it is excluded."""

KEY = "hydra.sweeper.points"
FORM = "give a list of mappings, [{lr: 0.1, iters: 10}, ...], or the path of a .csv or .yaml file"


def points_of(
    given: Any, base: Path, loader: ConfigLoader | None, known: Collection[str]
) -> list[list[Override]]:
    """Return the points of ``hydra.sweeper.points`` as overrides.

    `given` is None, a list of mappings from key to value, or the path (relative to `base`) of a
    CSV or YAML file. A mapping may be a grid: a list gives several values, and text is parsed as on
    the command line. A CSV file's header has the keys and each row is one point; an empty cell
    does not set its key. Raises ConfigError if the file cannot be read, an entry is invalid, or its
    key is not below a `known` one.
    """
    problems: list[str] = []
    points: list[list[Override]] = []
    parsed: dict[str, tuple[list[Override], list[str]]] = {}
    with collect_errors(problems):
        for where, entry in _entries(given, base) if given is not None else ():
            point = []
            for key, value in entry.items():
                if not isinstance(key, str) or not run_keys([key]):
                    problems.append(f"{where}: {key} does not describe a run; leave it out.")
                    continue
                if re.split(r"[./@]", key)[0] not in known and not key.startswith("+"):
                    problems.append(f"{where}: {no_such_top_key(key, known)}")
                    continue
                line = f"{key}={_as_override_value(value)}"
                if line not in parsed:
                    found, wrong = parsed[line] = [], []
                    with collect_errors(wrong):
                        found += parse(loader, [line])
                        wrong += override_problems(found[0], base)
                point += parsed[line][0]
                problems += [f"{where}: {problem}" for problem in parsed[line][1]]
            points.append(point)
    if problems:
        raise ConfigError(*problems)
    return points


def _entries(given: Any, base: Path) -> Sequence[tuple[str, Mapping[Any, Any]]]:
    """Return (position for error messages, entry) of each."""
    where = KEY
    if isinstance(given, str):
        path, where = base / Path(given).expanduser(), f"{KEY}={given}"
        try:
            if path.suffix.lower() == ".csv":
                return _rows(path, where)
            if path.suffix.lower() not in (".yaml", ".yml"):
                raise ConfigError(f"{where}: {FORM}.")
            given = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        except OSError as error:
            why = f"it cannot be read ({error.strerror})" if error.strerror else FORM
            raise ConfigError(f"{where}: {why}.") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: it is not UTF-8; save it so.") from error
        except csv.Error as error:
            raise ConfigError(f"{where}: this is no CSV ({error}).") from error
        except MarkedYAMLError as error:
            at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ConfigError(f"{where}{at}: this is no YAML ({error.problem}).") from error
        except ReaderError as error:
            raise ConfigError(f"{where}: this is no YAML ({error.reason}).") from error
        except ValueError as error:  # of a number
            raise ConfigError(f"{where}: {one_sentence(error)}") from error
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: {FORM}.")
    entries = [(f"{where}, entry {number}", entry) for number, entry in enumerate(given, start=1)]
    for place, entry in entries:
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(f"{place.replace(', entry', ': entry')} is {shown(entry)}; {FORM}.")
    return entries


def _rows(path: Path, where: str) -> list[tuple[str, Mapping[str, list[str]]]]:
    points: list[tuple[str, Mapping[str, list[str]]]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        keys = [key.strip() for key in next(reader, [])]
        if len(keys) == 1 and ";" in keys[0]:
            raise ConfigError(f"{where}: it looks separated by ';'; separate it by commas.")
        if not all(keys) or len(set(keys)) < len(keys) or not keys:
            raise ConfigError(f"{where}: name one key a column in the first line, none twice.")
        for row in filter(any, ([cell.strip() for cell in row] for row in reader)):
            line, pairs = f"{where}, line {reader.line_num}", zip(keys, row, strict=False)
            if len(row) != len(keys):
                raise ConfigError(f"{line}: {len(row)} cells where the header has {len(keys)}.")
            points.append((line, {key: [cell] for key, cell in pairs if cell}))
    if not points:
        raise ConfigError(f"{where}: it has no points; write a row for each.")
    return points


def _as_override_value(value: Any) -> str:
    """Return a value of an entry in the syntax of the command line."""
    if isinstance(value, list):
        texts = ",".join(written(one, quoted) for one in value)
        return texts if None in value or "null" in value else f"choice({texts})"
    return value if isinstance(value, str) else written(value, quoted)


JOINED = re.compile(r"'[^']*'|\"[^\"]*\"|[&|]")
WORDS = {"&": " and ", "|": " or "}
"""Operators outside quotes, as `query` of pandas reads them."""

COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda one, several: one in several,
    ast.NotIn: lambda one, several: one not in several,
}


def conditions(texts: Sequence[str], axes: Sequence[str]) -> dict[str, Condition]:
    """Return each text of ``hydra.sweeper.skip`` with its condition.

    Raises ConfigError if a text is not made of comparisons of axes and values. A condition
    raises ConfigError if values cannot be compared.
    """
    problems: list[str] = []
    found: dict[str, Condition] = {}
    for text in texts:
        reason = "compare axes with values, as in lr > 1 and iters > 1000; joined by and, or, not."
        try:
            words = JOINED.sub(lambda one: WORDS.get(one[0], one[0]), text.strip())
            tree = ast.parse(words.replace("`", ""), mode="eval").body
            _check(tree, axes)
            found[text] = partial(_holds, tree, text)
            continue
        except ConfigError as error:
            reason = str(error)
        except (SyntaxError, TypeError, ValueError):
            pass
        problems.append(f"hydra.sweeper.skip={text}: {reason}")
    if problems:
        raise ConfigError(*problems)
    return found


def _check(node: ast.expr, axes: Sequence[str]) -> None:
    """Raise ValueError or ConfigError unless `node` is made of comparisons of axes and values."""
    match node:
        case ast.BoolOp(values=parts) | ast.UnaryOp(ast.Not(), parts):
            for part in parts if isinstance(parts, list) else [parts]:
                _check(part, axes)
        case ast.Compare(left, operators, others):
            sides = [left, *others]
            if not {type(one) for one in operators} <= set(COMPARISONS):
                raise ValueError(operators)
            lists = [isinstance(side, ast.List | ast.Tuple) for side in sides]
            if lists != [False, *(isinstance(one, ast.In | ast.NotIn) for one in operators)]:
                raise ConfigError(
                    "a list stands after in, as lr in [1, 2]; an axis of lists is compared with "
                    "text, as network.layers == '[4,3,2]'."
                )
            names = [ast.unparse(one) for one in sides if isinstance(one, ast.Name | ast.Attribute)]
            for name in names:
                if name not in axes:
                    hint = did_you_mean(name, axes) or f"; the axes are {', '.join(axes)}."
                    raise ConfigError(f"{name} is no axis{hint}")
            values = [one for one in sides if not isinstance(one, ast.Name | ast.Attribute)]
            for literal in map(ast.literal_eval, values):
                items = literal if isinstance(literal, list | tuple) else [literal]
                if not names or not all(isinstance(item, str | int | float) for item in items):
                    raise ValueError(literal)
        case _:
            raise ValueError(node)


def _holds(condition: ast.expr, text: str, point: Mapping[str, Any]) -> Any:
    def value(node: ast.expr) -> Any:
        match node:
            case ast.BoolOp(joined, parts):
                every = all if isinstance(joined, ast.And) else any
                return every(value(part) for part in parts)
            case ast.UnaryOp(ast.Not(), part):
                return not value(part)
            case ast.Compare(left, operators, others):
                sides = [value(side) for side in (left, *others)]
                pairs = zip(operators, sides, sides[1:], strict=False)
                return all(COMPARISONS[type(one)](*both) for one, *both in pairs)
            case ast.Name() | ast.Attribute():
                return _comparable(point.get(ast.unparse(node)))
            case ast.Constant(str(word)):
                return _unquoted(word)
        return ast.literal_eval(node)

    try:
        return value(condition)
    except TypeError as error:
        reason = f"these values cannot be compared ({error})"
        raise ConfigError(f"hydra.sweeper.skip={text}: {reason}.") from error


def _comparable(value: Any) -> Any:
    """Return a number or text; null as NaN, of which every comparison but != is false."""
    if value is None:
        return math.nan
    return value if isinstance(value, bool | int | float) else _unquoted(value)


def _unquoted(value: Any) -> str:
    """Return text; that of a list or mapping without blanks and quotes, as one writes it."""
    text = value if isinstance(value, str) else shown(value)
    return re.sub(r"[\s\"']", "", text) if text.startswith(("[", "{")) else text
