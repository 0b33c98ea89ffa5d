"""Our own exponential: its distance from the true one, its ends, its bits."""

from __future__ import annotations

import functools
import math
import struct
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from sweep.training.kernels import general
from sweep.training.kernels.code import INTEGER, Code
from sweep.training.kernels.exponential import SATURATED, exp, sigmoid
from sweep.training.kernels.spec import LANES
from tests.processes import ROOT, clean_environment, start

Array = npt.NDArray[np.float64]

OVERFLOW = 709.782712893384  # the last argument with a finite result
VANISH = -745.1332191019411  # the last one with a result above 0
SUBNORMAL = -708.3964185322641  # the last one with a normal result


@general.compiled
def exponentials_in_numba(arguments: Array, results: Array) -> None:
    for at in range(len(arguments)):
        results[at] = exp(arguments[at])


@general.compiled
def sigmoids_in_numba(arguments: Array, results: Array) -> None:
    for at in range(len(arguments)):
        results[at] = sigmoid(arguments[at])


IN_NUMBA = {exp: exponentials_in_numba, sigmoid: sigmoids_in_numba}


@functools.cache
def in_code(function: Any, width: int) -> Any:
    """Compile ``function`` of `width` numbers at a time, by our own code."""
    code = Code(width, {"arguments": "floats", "results": "floats", "count": "int"})
    with code.loop(INTEGER(0), code.arguments["count"]) as at:
        code.store("results", at, function(code.load("arguments", at)))
    return code.compile()


def values(function: Any, arguments: Array, width: int = 1) -> Array:
    results = np.empty_like(arguments)
    count = len(arguments) // width
    in_code(function, width)(arguments.ctypes.data, results.ctypes.data, count)
    return results


def exponentials(arguments: Array) -> Array:
    return values(exp, arguments)


def sigmoid_alone(x: float) -> float:
    return float(values(sigmoid, np.array([x]))[0])


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
    magnitudes = 10.0 ** rng.uniform(-320, 2.8, 1000) * rng.choice([-1, 1], 1000)
    return np.concatenate(
        [
            rng.uniform(VANISH, OVERFLOW, 2000),
            rng.uniform(-1, 1, 2000),
            rng.uniform(-40, 40, 1000),
            rng.uniform(VANISH - 1, SUBNORMAL + 1, 1000),
            magnitudes,
        ]
    )


def hard_arguments() -> Array:
    """Multiples of ln 2 / 2 and their neighbours: where the reduction changes its k."""
    values = [OVERFLOW, VANISH, SUBNORMAL, 0.0]
    values += [k * math.log(2) / 2 for k in range(-2150, 2049, 3)]
    near = np.array(values)
    return np.concatenate([near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf)])


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


def sigmoid_distance(x: float, result: float) -> int:
    """Return how many floats `result` is away from the correctly rounded sigmoid."""
    with mpmath.workprec(200):
        exact = 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
        mpmath.mp.prec = 53
        rounded = float(+exact)
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in (result, rounded)]
    return abs(bits[0] - bits[1])


def test_sigmoid_is_within_three_ulp() -> None:
    arguments = np.concatenate([random_arguments()[::4], hard_arguments()[::4]])
    arguments = arguments[abs(arguments) <= SATURATED]
    pairs = zip(arguments.tolist(), values(sigmoid, arguments).tolist(), strict=True)
    worst = max((sigmoid_distance(x, result), x) for x, result in pairs)
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


@pytest.mark.parametrize("function", [exp, sigmoid])
def test_vectors_and_numba_have_the_bits_of_one_alone(function: Any) -> None:
    ends = [math.inf, -math.inf, math.nan, 0.0, -0.0, OVERFLOW, VANISH, SUBNORMAL, 1e300, -1e17]
    arguments = np.concatenate([random_arguments(), hard_arguments(), np.repeat(ends, 8)])
    arguments = np.random.default_rng(1).permutation(arguments)
    arguments = arguments[: len(arguments) // LANES * LANES]
    expected, in_numba = values(function, arguments), np.empty_like(arguments)
    IN_NUMBA[function](arguments, in_numba)
    finite = ~np.isnan(expected)
    for results in (in_numba, values(function, arguments, 4), values(function, arguments, LANES)):
        np.testing.assert_array_equal(results, expected)
        assert results[finite].tobytes() == expected[finite].tobytes()


PROGRAM = """
import sys
import llvmlite.binding
import numpy as np
if sys.argv[1] == "narrow":
    llvmlite.binding.get_host_cpu_name = lambda: "generic"
    llvmlite.binding.get_host_cpu_features = llvmlite.binding.FeatureMap
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.network import Network
rng = np.random.default_rng(0)
data = Data(rng.normal(size=(9, 4)), rng.random((9, 2)))
for hidden in (2, 40):
    activation, init = ["sigmoid", "tanh"], {"scheme": "he"}
    net = Network.build(layers=[4, hidden, 2], activation=activation, init=init)
    for count in (1, 3):
        trainer = Backprop([net] * count, data, lrs=[0.5] * count, rule="gradient")
        trainer.advance(500)
        print([value.hex() for value in np.ravel(trainer.items[-1].state()["weights"])])
"""


@pytest.mark.slow
def test_narrow_machine_has_the_same_bits(tmp_path: Path) -> None:
    """A processor with the first 64-bit instructions only: no FMA, vectors of two numbers."""
    outputs = []
    for place, variables in (
        ("here", {}),
        ("narrow", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}),
    ):
        env = clean_environment({"NUMBA_CACHE_DIR": str(tmp_path / place), **variables})
        process = start([sys.executable, "-W", "error", "-c", PROGRAM, place], ROOT, env)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        outputs.append(out.splitlines())
    assert outputs[0] == outputs[1]
    small_alone, small_beside, large_alone, large_beside = outputs[0]
    assert small_alone == small_beside and large_alone == large_beside
