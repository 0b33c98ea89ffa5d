"""The program's own exponential: its distance from the true one, its ends, its bits."""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import Any

import mpmath
import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.training.kernels.exponential import COEFFICIENTS, SATURATED, exp, sigmoid
from sweep.training.kernels.lanes import lane, pack, read, write
from sweep.training.kernels.spec import GROUP, LANES
from tests.processes import ROOT, clean_environment, start

Array = npt.NDArray[np.float64]

OVERFLOW = 709.782712893384  # the last argument with a finite result
VANISH = -745.1332191019411  # the last one with a result above 0
SUBNORMAL = -708.3964185322641  # the last one with a normal result


@numba.njit
def alone(arguments: Array, results: Array) -> None:
    for at in range(len(arguments)):
        results[at] = exp(arguments[at])


@numba.njit
def side_by_side(arguments: Array, results: Array) -> None:
    for at in range(len(arguments) // LANES):
        write(results, at, exp(read(arguments, at)))


@numba.njit
def sigmoids_alone(arguments: Array, results: Array) -> None:
    for at in range(len(arguments)):
        results[at] = sigmoid(arguments[at])


@numba.njit
def sigmoids_side_by_side(arguments: Array, results: Array) -> None:
    for at in range(len(arguments) // LANES):
        write(results, at, sigmoid(read(arguments, at)))


@numba.njit
def three_of_a_group(x: float, y: float, z: float) -> Any:
    group = sigmoid(pack((x, y, z)))
    return lane(group, 0), lane(group, 1), lane(group, 2)


@numba.njit
def sigmoid_alone(x: float) -> Any:
    return sigmoid(x)


def exponentials(arguments: Array) -> Array:
    results = np.empty_like(arguments)
    alone(arguments, results)
    return results


def correctly_rounded(x: float) -> float:
    """Return e^x rounded once: exact numbers are rounded to the grid of its exponent."""
    with mpmath.workprec(160):
        exact = mpmath.exp(mpmath.mpf(x))
        if exact < mpmath.mpf(2) ** -1022:
            return math.ldexp(int(mpmath.nint(exact * mpmath.mpf(2) ** 1074)), -1074)
        mpmath.mp.prec = 53
        return float(+exact)


def distance(x: float, result: float) -> int:
    """Return how many floats `result` is away from the correctly rounded e^x."""
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in (result, correctly_rounded(x))]
    return abs(bits[0] - bits[1])


def random_arguments() -> Array:
    rng = np.random.default_rng(0)
    magnitudes = 10.0 ** rng.uniform(-320, 2.8, 4000) * rng.choice([-1, 1], 4000)
    return np.concatenate(
        [
            rng.uniform(VANISH, OVERFLOW, 8000),
            rng.uniform(-1, 1, 8000),
            rng.uniform(-40, 40, 4000),
            rng.uniform(VANISH - 1, SUBNORMAL + 1, 4000),
            magnitudes,
        ]
    )


def hard_arguments() -> Array:
    """Multiples of ln 2 / 2 and their neighbours: where the reduction changes its k."""
    values = [OVERFLOW, VANISH, SUBNORMAL, 0.0]
    values += [k * math.log(2) / 2 for k in range(-2150, 2049)]
    near = np.array(values)
    steps = [near]
    for target in (-np.inf, np.inf):
        moved = near
        for _ in range(3):
            moved = np.nextafter(moved, target)
            steps.append(moved)
    return np.concatenate(steps)


@pytest.mark.parametrize(
    "arguments", [random_arguments(), hard_arguments()], ids=["random", "hard"]
)
def test_within_one_ulp_of_the_correctly_rounded(arguments: Array) -> None:
    results = exponentials(arguments)
    worst = max(
        (distance(float(x), float(r)), float(x))
        for x, r in zip(arguments, results, strict=True)
        if x <= OVERFLOW
    )
    assert worst[0] <= 1, worst
    assert np.isposinf(results[arguments > OVERFLOW]).all()


@settings(max_examples=300, deadline=None)
@given(st.floats(VANISH - 2, OVERFLOW))
def test_no_argument_is_further_off(x: float) -> None:
    assert distance(x, float(exponentials(np.array([x]))[0])) <= 1


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (5e-324, 1.0),
        (-1e-300, 1.0),
        (math.inf, math.inf),
        (-math.inf, 0.0),
        (1e308, math.inf),
        (-1e308, 0.0),
        (math.nextafter(OVERFLOW, math.inf), math.inf),
        (710.5, math.inf),
        (VANISH, 5e-324),
        (math.nextafter(VANISH, -math.inf), 0.0),
        (-746.5, 0.0),
    ],
)
def test_ends(x: float, expected: float) -> None:
    result = exponentials(np.array([x]))[0]
    assert (result, math.copysign(1.0, result)) == (expected, 1.0)


def test_nan_stays_nan() -> None:
    assert np.isnan(exponentials(np.array([math.nan, -math.nan]))).all()


def sigmoid_distance(x: float) -> int:
    """Return how many floats the sigmoid is away from the correctly rounded one."""
    with mpmath.workprec(200):
        exact = 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
        mpmath.mp.prec = 53
        rounded = float(+exact)
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in (sigmoid_alone(x), rounded)]
    return abs(bits[0] - bits[1])


def test_sigmoid_is_within_three_ulp() -> None:
    arguments = [x for x in (*random_arguments(), *hard_arguments()) if abs(x) <= SATURATED]
    worst = max((sigmoid_distance(float(x)), float(x)) for x in arguments)
    assert worst[0] <= 3, worst


def test_sigmoid_at_its_ends() -> None:
    """Where a network saturates its gradients are exactly 0: its outputs are 0 or 1."""
    up = [40.0, 708.5, 1e10, 2.0**51, 2.0**52, 1e19, 1e300, 1.7e308, math.inf]
    assert [sigmoid_alone(x) for x in up] == [1.0] * len(up)
    down = [sigmoid_alone(-x) for x in up[1:]]
    assert [(y, math.copysign(1.0, y)) for y in down] == [(0.0, 1.0)] * len(down)
    assert sigmoid_alone(-SATURATED) > 0
    assert sigmoid_alone(0.0) == sigmoid_alone(-0.0) == 0.5
    assert math.isnan(sigmoid_alone(math.nan)) and math.isnan(sigmoid_alone(-math.nan))


@pytest.mark.parametrize(
    ("one", "several"), [(alone, side_by_side), (sigmoids_alone, sigmoids_side_by_side)]
)
def test_lanes_have_the_bits_of_one_alone(one: Any, several: Any) -> None:
    ends = [math.inf, -math.inf, math.nan, 0.0, -0.0, OVERFLOW, VANISH, SUBNORMAL, 1e300, -1e17]
    arguments = np.concatenate([random_arguments(), hard_arguments(), np.repeat(ends, 8)])
    arguments = np.random.default_rng(1).permutation(arguments)
    arguments = arguments[: len(arguments) // LANES * LANES]
    expected, results = np.empty_like(arguments), np.empty_like(arguments)
    one(arguments, expected)
    several(arguments, results)
    np.testing.assert_array_equal(results, expected)
    finite = ~np.isnan(results)
    assert results[finite].tobytes() == expected[finite].tobytes()


def test_group_has_the_bits_of_one_alone() -> None:
    assert GROUP >= 3
    for numbers in np.random.default_rng(2).normal(0, 20, (500, 3)):
        assert three_of_a_group(*numbers) == tuple(map(sigmoid_alone, numbers))


def test_polynomial_is_as_good_as_it_says() -> None:
    half = math.log(2) / 2
    with mpmath.workdps(50):
        for r in map(mpmath.mpf, np.linspace(-half, half, 2001)):
            q = sum(mpmath.mpf(c) * r**power for power, c in enumerate(COEFFICIENTS))
            assert abs((1 + r + r * r * q) / mpmath.exp(r) - 1) < mpmath.mpf(2) ** -56


def test_no_operation_is_fused() -> None:
    """A fused multiply-add rounds once where two operations round twice: other bits elsewhere."""
    for kernel in (alone, side_by_side, sigmoids_alone, sigmoids_side_by_side):
        for text in kernel.inspect_asm().values():
            assert not re.search(r"\bv?fn?m(add|sub|la|ls)", text)


PROGRAM = """
import sys
import numpy as np
from sweep.training.kernels.compiled import load_kernel, load_lanes_kernel
from sweep.training.kernels.spec import LANES, KernelSpec
spec = KernelSpec((4, 3, 2), ("sigmoid", "tanh"), True, "squared_error", "gradient", True)
state = np.linspace(-1, 1, 20 * LANES)
samples = np.linspace(1, 3, 4).reshape(1, 4), np.array([[0.1, 0.7]])
one = state.reshape(20, LANES)[:, 0].copy()
errors = np.empty((LANES, 500))
load_lanes_kernel(spec)(state, *samples, np.linspace(0.1, 1, LANES), errors)
load_kernel(spec)(one, *samples, np.array([0.1]), errors[:1].copy())
assert one.tobytes() == state.reshape(20, LANES)[:, 0].tobytes()
print(state.tobytes().hex())
"""


def test_narrow_machine_has_the_same_bits(tmp_path: Path) -> None:
    """A processor with the first 64-bit instructions only: no FMA, vectors of two numbers."""
    outputs = []
    for place, settings_ in (
        ("here", {}),
        ("narrow", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}),
    ):
        env = clean_environment({"NUMBA_CACHE_DIR": str(tmp_path / place), **settings_})
        process = start([sys.executable, "-W", "error", "-c", PROGRAM], ROOT, env)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        outputs.append(out)
    assert outputs[0] == outputs[1]
