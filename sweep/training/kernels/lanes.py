"""Numbers side by side: a numba type of a few floats that one vector instruction works on.

Each operation is the IEEE one of every lane by itself, never contracted: a number has the
same bits alone and in any company. What floats and vectors need under one name (`greater`,
`power_of_two`, `log`, `tanh`) takes both.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, float64, types

from sweep.training.kernels.spec import GROUP, LANES

__all__ = [
    "greater",
    "lane",
    "log",
    "pack",
    "power_of_two",
    "read",
    "tanh",
    "write",
    "write_column",
]

# The decorators of numba change what they decorate; their own types do not say how.
intrinsic: Callable[[Any], Any] = extending.intrinsic
lower_builtin: Callable[..., Callable[[Any], Any]] = extending.lower_builtin
overload: Callable[[Any], Callable[[Any], Any]] = extending.overload
register_model: Callable[[Any], Callable[[Any], Any]] = extending.register_model
type_callable: Callable[[Any], Callable[[Any], Any]] = extending.type_callable
PrimitiveModel: Any = extending.models.PrimitiveModel

DOUBLE, INTEGER, INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)


class LanesType(types.Type):
    """The type of `count` floats side by side."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.vector = ir.VectorType(DOUBLE, count)
        super().__init__(name=f"Lanes({count})")


lanes_type, group_type = LanesType(LANES), LanesType(GROUP)


@register_model(LanesType)
class LanesModel(PrimitiveModel):  # type: ignore[misc]
    """Kept as one LLVM vector."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)


def _spread(builder: Any, kind: Any, value: Any, result: Any) -> Any:
    """Return a value of type `kind` as one of type `result`: a float goes into every lane."""
    if kind == result:
        return value
    empty = ir.Constant(result.vector, ir.Undefined)
    one = builder.insert_element(empty, value, INDEX(0))
    mask = ir.Constant(ir.VectorType(INDEX, result.count), [0] * result.count)
    return builder.shuffle_vector(one, empty, mask)


def _joined(*kinds: Any) -> Any:
    """Return the type that operands have together, or None where they do not fit."""
    vectors = {kind for kind in kinds if isinstance(kind, LanesType)}
    others = {kind for kind in kinds if not isinstance(kind, LanesType)}
    if len(vectors) > 1 or not others <= {float64}:
        return None
    return vectors.pop() if vectors else float64


def _define(operation: Any, instruction: str) -> None:
    @type_callable(operation)
    def typing(context: Any) -> Callable[..., Any]:
        def typer(left: Any, right: Any) -> Any:
            result = _joined(left, right)
            return result if isinstance(result, LanesType) else None

        return typer

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = zip(signature.args, arguments, strict=True)
        result = signature.return_type
        left, right = (_spread(builder, kind, value, result) for kind, value in pairs)
        return getattr(builder, instruction)(left, right)

    for kinds in (
        (LanesType, LanesType),
        (LanesType, types.Float),
        (types.Float, LanesType),
    ):
        lower_builtin(operation, *kinds)(lower)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_operation, _instruction)


@type_callable(operator.neg)
def _type_negative(context: Any) -> Callable[..., Any]:
    def typer(value: Any) -> Any:
        return value if isinstance(value, LanesType) else None

    return typer


@lower_builtin(operator.neg, LanesType)
def _lower_negative(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.fneg(arguments[0])


@intrinsic
def greater(context: Any, x: Any, y: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where x > y, else `no` (also where x or y is NaN)."""
    kinds = (x, y, yes, no)
    result = _joined(*kinds)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = zip(kinds, arguments, strict=True)
        x, y, yes, no = (_spread(builder, kind, value, result) for kind, value in pairs)
        return builder.select(builder.fcmp_ordered(">", x, y), yes, no)

    return result(*kinds), generate


@intrinsic
def power_of_two(context: Any, shifted: Any) -> Any:
    """Return 2^k for `shifted` = k + 1.5 * 2^52, with -1022 <= k <= 1023, from its bits.

    The sum's last bits are k; they are moved into the exponent, and its bias is added.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, move, bias = INTEGER, INTEGER(52), INTEGER(1023 << 52)
        if isinstance(shifted, LanesType):
            whole = ir.VectorType(INTEGER, shifted.count)
            move = ir.Constant(whole, [52] * shifted.count)
            bias = ir.Constant(whole, [1023 << 52] * shifted.count)
        exponent = builder.shl(builder.bitcast(arguments[0], whole), move)
        return builder.bitcast(builder.add(exponent, bias), arguments[0].type)

    return shifted(shifted), generate


@intrinsic
def pack(context: Any, numbers: Any) -> Any:
    """Return a tuple of up to GROUP floats as one vector; the lanes left over hold anything."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.Constant(group_type.vector, ir.Undefined)
        for at in range(numbers.count):
            number = builder.extract_value(arguments[0], at)
            vector = builder.insert_element(vector, number, INDEX(at))
        return vector

    return group_type(numbers), generate


@intrinsic
def lane(context: Any, vector: Any, at: Any) -> Any:
    """Return the float in a lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return float64(vector, types.intp), generate


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def read(context: Any, array: Any, at: Any) -> Any:
    """Return the `at`-th LANES floats of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.mul(arguments[1], INTEGER(LANES))
        place = _pointer(context, builder, array, arguments[0], first)
        return builder.load(builder.bitcast(place, lanes_type.vector.as_pointer()), align=8)

    return lanes_type(array, types.intp), generate


@intrinsic
def write(context: Any, array: Any, at: Any, value: Any) -> Any:
    """Make `value` the `at`-th LANES floats of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.mul(arguments[1], INTEGER(LANES))
        place = _pointer(context, builder, array, arguments[0], first)
        builder.store(arguments[2], builder.bitcast(place, lanes_type.vector.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), generate


@intrinsic
def write_column(context: Any, array: Any, column: Any, value: Any) -> Any:
    """Write the lanes of `value` below each other into a column of a matrix."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrix = context.make_array(array)(context, builder, arguments[0])
        down, right = (builder.extract_value(matrix.strides, axis) for axis in (0, 1))
        place = builder.bitcast(matrix.data, ir.IntType(8).as_pointer())
        place = builder.gep(place, [builder.mul(arguments[1], right)])
        for at in range(value.count):
            number = builder.extract_element(arguments[2], INDEX(at))
            builder.store(number, builder.bitcast(place, DOUBLE.as_pointer()))
            place = builder.gep(place, [down])
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def _with_lane(context: Any, vector: Any, at: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, at, number = arguments
        return builder.insert_element(vector, number, at)

    return vector(vector, types.intp, float64), generate


def log(x: Any) -> Any:
    """Return the natural logarithm; lane by lane by the library's own function."""
    return math.log(x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent; lane by lane by the library's own function."""
    return math.tanh(x)


def _lane_by_lane(own: Any, function: Any) -> None:
    """Compile `own` as `function` for a float, and as a call of it for each lane of a vector."""

    @overload(own)
    def choose(x: Any) -> Any:
        def alone(x: Any) -> Any:
            return function(x)

        def each(x: Any) -> Any:
            for at in range(count):
                x = _with_lane(x, at, function(lane(x, at)))
            return x

        count = getattr(x, "count", 1)
        return each if isinstance(x, LanesType) else alone


_lane_by_lane(log, math.log)
_lane_by_lane(tanh, math.tanh)
