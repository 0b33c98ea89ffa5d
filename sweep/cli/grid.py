"""Expand the command line into the validated grid points of a plan."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from sweep import console
from sweep.checks import invalid_value, written
from sweep.cli.arguments import command_line, named_key, wrong_groups, wrong_overrides
from sweep.cli.axes import MOST_VALUES, grid_of, is_drawn, override_problems, parse, quoted
from sweep.cli.compose import Composed, Composer
from sweep.cli.messages import (
    HYDRA_ERRORS,
    added_keys,
    collect_errors,
    one_sentence,
    unread_keys,
)
from sweep.cli.overrides import PARAMS, describes_run, key_of, run_keys
from sweep.cli.points import Condition, conditions, points_of
from sweep.config.run import run_spec, value_of
from sweep.engine.plan import Cell, Plan, unique
from sweep.errors import ConfigError, MisfitError

if TYPE_CHECKING:
    from sweep.config.models import Sweeper

MANY_CELLS = 100  # more take seconds; a status line is printed

FOLDLESS = re.compile(r"(lr|iters|rule|seed|(network|trainer)\..*)")
"""Keys whose values do not set how many folds there are, unless an interpolation reads them."""

READ = re.compile(r"\b(lr|iters|rule|seed|network|trainer)\b")

PROBLEM = {"network": "notebook", "data": "notebook", "trainer": "backprop"}
"""The groups' options that the default grid is meant for."""


@dataclass
class Planner:
    """Build the grid points of one sweep; error messages are collected in `problems`.

    `sweeper` has the configured axes, points and conditions; overrides of the command line
    (`command`) replace its axes.
    """

    composer: Composer
    sweeper: Sweeper
    command: Sequence[Override]
    problems: list[str] = field(default_factory=list)
    seed: int | None = None  # of a resumed sweep, from which its points are drawn
    unknown: set[str] = field(default_factory=set)  # keys that the configuration does not have
    _refused: set[str | tuple[str, ...]] = field(default_factory=set)  # overrides, or points

    def plan(self) -> Plan:
        """Compose and validate every grid point; nothing is written.

        Raises ConfigError with one message for each mistake.
        """
        problems = self.problems
        with collect_errors(problems):
            _check_folder(Path(str(self.composer.master.hydra.sweep.dir)))
        named = {one.key_or_group.removeprefix(PARAMS) for one in self.command}
        choices = self.composer.master.hydra.runtime.choices
        by_default = choices.get("experiment") == "none"
        # The default grid is for the notebook's problem only; listed points replace it.
        ours = _is_default_problem(choices, self.command)
        lines = [
            f"{key}={value if isinstance(value, str) else written(value, quoted)}"
            for key, value in (self.sweeper.params or {}).items()
            if value is not None
            and (not by_default or (self.sweeper.points is None and (ours or key in named)))
        ]
        configured: list[Override] = []
        with collect_errors(problems):
            configured = parse(self.composer.loader, lines)
        keys = {override.key_or_group for override in configured}
        overrides = self.sound([*configured, *self.command])
        grid, axes = self.lines(overrides, keys)
        grid, axes = self._with_folds(grid, axes)
        cells: list[Cell] = []
        left_out: dict[str, int] = {}
        with collect_errors(problems):
            cells, left_out = self.cells(grid, axes, Path.cwd(), self.sweeper.skip)
        if problems:
            raise ConfigError(*problems)
        names = {cell.key: cell.name for cell in reversed(cells)}
        asked = Counter(cell.key for cell in cells)
        return Plan(
            tuple(unique(cells)),
            axes,
            len(cells),
            command_line(),
            Path.cwd(),
            default_axes=tuple(key for key in axes if by_default and key in keys - named),
            doubled={names[key]: times for key, times in asked.items() if times > 1},
            left_out=left_out,
        )

    @property
    def parent(self) -> str:
        """The override that gives the sweep's id to every job."""
        return f"parent={self.composer.master.parent}"

    def sound(self, overrides: Iterable[Override]) -> list[Override]:
        """Return the overrides that are valid in a grid, without those of Hydra's node."""
        fine = []
        for override in overrides:
            found = override_problems(override, Path.cwd())
            self.problems += found
            if not found and not override.is_hydra_override():
                fine.append(override)
        return fine

    def lines(
        self, overrides: Sequence[Override], keys: Collection[str]
    ) -> tuple[list[list[str]], tuple[str, ...]]:
        """Return the overrides of each grid point, and the axes (swept keys, `keys`, points' keys).

        Each listed point is multiplied by the axes whose key it does not set. If points set the
        key of an axis, the grid of the axes is added to them; else they replace it.
        """
        points: list[list[Override]] = []
        with collect_errors(self.problems):
            master = self.composer.master
            known = [*map(str, master), *map(str, master.hydra.runtime.choices)]
            points = points_of(self.sweeper.points, Path.cwd(), self.composer.loader, known)
        axes = dict.fromkeys(
            one.key_or_group
            for one in overrides
            if one.is_sweep_override() or one.key_or_group in keys
        )
        of_points = dict.fromkeys(one.key_or_group for point in points for one in point)
        self.problems += [
            f"{one.input_line} and hydra.sweeper.points: {one.key_or_group} is given twice; keep "
            "one of them."
            for one in overrides
            if one.key_or_group in of_points and one.key_or_group not in axes
        ]
        groups = [list(overrides)] if not points or set(axes) & set(of_points) else []
        for point in points:
            own = {one.key_or_group for one in point}
            groups.append([*point, *(one for one in overrides if one.key_or_group not in own)])
        samples = self.sweeper.samples
        drawn = [one.input_line for group in groups for one in group if is_drawn(one)]
        if drawn and samples is None:
            self.problems.append(
                f"{drawn[0]}: say how many points are drawn from it, as hydra.sweeper.samples=20."
            )
        if samples is not None and not drawn:
            self.problems.append(
                f"hydra.sweeper.samples={samples}: no axis is drawn; write one as "
                "lr=loguniform(1e-4,1), or leave it out."
            )
        seed = (self.composer.master.seed if self.seed is None else self.seed) if drawn else 0
        grid = [line for group in groups for line in grid_of(group, Path.cwd(), samples or 1, seed)]
        return grid, tuple({**of_points, **axes})

    def cells(
        self,
        grid: Sequence[Sequence[str]],
        axes: Sequence[str],
        base: Path,
        skip: Sequence[str],
        first_job: int = 0,
    ) -> tuple[list[Cell], dict[str, int]]:
        """Compose and validate grid points; job numbers start at `first_job`.

        Returns the grid points, and the number of excluded points by reason.
        """
        if len(grid) > MANY_CELLS:
            console.echo(f"Checking {len(grid)} grid points ...")
        cells: list[Cell] = []
        problems: list[str] = []
        skipped: dict[str, Condition] = {}
        with collect_errors(problems):
            skipped = conditions(skip, axes)
        reasons = Counter({f"where {text}": 0 for text in skipped})
        added: dict[str, str] = {}

        refuses = self.sweeper.misfits == "refuse"
        # A condition that is wrong may leave out the points that do not fit.
        refuses &= not problems and "hydra.sweeper.skip" not in map(key_of, wrong_overrides())

        def left_out(values: Mapping[str, Any], *, rule: bool) -> bool:
            judged = (text for text in skipped if rule or "rule" not in text)
            met = next((text for text in judged if skipped[text](values)), None)
            reasons.update([] if met is None else [f"where {met}"])
            return met is not None

        for point in grid:
            number = first_job + len(cells)
            with collect_errors(problems):
                composed = self._compose(point, number)
                if composed is None:
                    continue
                values, choices = composed
                found = {axis: value_of(axis, values, choices) for axis in axes}
                unknown = found.get("rule", "") is None  # the network's own, resolved below
                if left_out(found, rule=not unknown):
                    continue
                added = {**added_keys(values, choices, point), **added}
                try:
                    unjudged = wrong_groups() | {key.split(".")[0] for key in self.unknown}
                    spec = run_spec(values, choices, base, run_keys(point), unjudged)
                except MisfitError as error:
                    if refuses:
                        raise
                    reasons[error.messages[0]] += 1
                    continue
                swept = {axis: value_of(axis, spec.config, choices) for axis in axes}
                if "rule" in swept:  # null is resolved by the network
                    swept["rule"] = spec.rule
                if unknown and left_out(swept, rule=True):
                    continue
                own = tuple(text for text in point if describes_run(text))
                cells.append(Cell(len(cells), own, swept, spec, number))
        if any(reasons.values()) and not cells and not problems:
            why = "; ".join(reason for reason, count in reasons.items() if count)
            s = "" if len(grid) == 1 else "s"
            problems.append(f"Nothing is left of {len(grid)} grid point{s}: {why.rstrip('.')}.")
        self.problems += problems
        self.problems += unread_keys(added, [*self.composer.interpolations, *wrong_overrides()])
        return cells, dict(reasons)

    def _compose(self, point: Sequence[str], number: int) -> Composed | None:
        """Compose a grid point without unknown keys; None if it is known to be wrong."""
        while True:
            lines = [line for line in point if key_of(line) not in self.unknown]
            if not self._refused.isdisjoint([*lines, tuple(lines)]):
                return None
            if self.unknown:  # points that differ in unknown keys alone are judged once
                self._refused.add(tuple(lines))
            try:
                return self.composer.compose([*lines, self.parent], number)
            except HYDRA_ERRORS as error:
                key = named_key(error)
                if key is None or not str(error).startswith("Could not override"):
                    self._refused.update(line for line in lines if key_of(line) == key)
                    raise
                self.unknown.add(key)
                self.problems.append(one_sentence(error))

    def _with_folds(
        self, grid: Iterable[list[str]], axes: tuple[str, ...]
    ) -> tuple[list[list[str]], tuple[str, ...]]:
        """Return the grid with all folds of each point that has ``data.folds`` but no fold."""
        counts: dict[tuple[str, ...], int] = {}
        lines = []
        for point in grid:
            read = any(map(READ.search, self.composer.interpolations))
            kind = tuple(text for text in point if read or not FOLDLESS.fullmatch(key_of(text)))
            if kind not in counts:
                counts[kind] = int("data.folds" in map(key_of, point))
                with suppress(*HYDRA_ERRORS):  # `cells` composes its first fold, and reports it
                    data = self.composer.compose([*point, self.parent], 0).values.get("data")
                    mapping = data if isinstance(data, Mapping) else {}
                    folds = mapping.get("folds") if mapping.get("fold") is None else None
                    counts[kind] = folds if isinstance(folds, int) else 0
                if counts[kind] > MOST_VALUES:
                    advice = f"a sweep has at most {MOST_VALUES} of them"
                    self.problems.append(invalid_value("data.folds", counts[kind], advice))
                    counts[kind] = 1
            lines += [[*point, f"data.fold={fold}"] for fold in range(counts[kind])] or [point]
        return lines, tuple(dict.fromkeys([*axes, *["data.fold"] * any(counts.values())]))


def _is_default_problem(choices: Mapping[str, Any], overrides: Iterable[Override]) -> bool:
    """Whether the options are those of PROBLEM, and no override changes them or their values."""
    if any(choices.get(group) != option for group, option in PROBLEM.items()):
        return False
    for override in overrides:
        group, *below = override.key_or_group.split(".")
        if group not in PROBLEM or override.package is not None:
            continue
        if group != "trainer" if below else override.value() != PROBLEM[group]:
            return False
    return True


def _check_folder(folder: Path) -> None:
    """Raise ConfigError if `folder` is not empty: the sweep could overwrite its files."""
    try:
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return
        reason = "there is something already that the sweep's files could overwrite"
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    advice = "name a folder that is new or empty, or leave this key out"
    raise ConfigError(f"hydra.sweep.dir={folder}: {reason}; {advice}.")
