"""Generate code from Python arithmetic, and compile it with LLVM.

A `Value` is a float64 or a vector of them, so one Python function generates the code for one
trajectory and for several. Operations are IEEE 754, elementwise, never contracted or reordered: a
lane of a vector has the bits of a scalar. (Loops over lanes, vectorised by LLVM, take at least a
quarter more time, and leave a single trajectory without vectors.)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

DOUBLE, INTEGER, INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)


def _like(kind: Any, value: float) -> Any:
    """Return a constant of a scalar or vector type."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def _operators(instruction: str) -> tuple[Callable[[Any, Any], Value], Callable[[Any, Any], Value]]:
    """Return the methods of an operator for a `Value` as left and as right operand."""

    def left(one: Value, other: Value | float) -> Value:
        return one._do(instruction, one, other)

    def right(other: Value, one: float) -> Value:
        return other._do(instruction, one, other)

    return left, right


class Value:
    """A scalar or vector in the code; the operators `+ - * /` accept a Value or a float."""

    def __init__(self, builder: Any, result: Any) -> None:
        self.result = result
        self._builder = builder

    def _of(self, operand: Value | float) -> Any:
        if isinstance(operand, Value):
            return operand.result
        return _like(self.result.type, float(operand))

    def _do(self, instruction: str, *operands: Value | float) -> Value:
        results = [self._of(operand) for operand in operands]
        return Value(self._builder, getattr(self._builder, instruction)(*results))

    def __neg__(self) -> Value:
        return self._do("fneg", self)

    __add__, __radd__ = _operators("fadd")
    __sub__, __rsub__ = _operators("fsub")
    __mul__, __rmul__ = _operators("fmul")
    __truediv__, __rtruediv__ = _operators("fdiv")

    def where_greater(self, other: Value | float, yes: Value | float, no: Value | float) -> Value:
        """Return `yes` where this is greater than `other`, else `no` (also for NaN)."""
        test = self._builder.fcmp_ordered(">", self.result, self._of(other))
        return Value(self._builder, self._builder.select(test, self._of(yes), self._of(no)))

    def with_bits(self, shift: int, plus: int) -> Value:
        """Return the float whose bits are those of this one shifted left, plus an integer."""
        builder, kind = self._builder, self.result.type
        whole = ir.VectorType(INTEGER, kind.count) if kind != DOUBLE else INTEGER
        bits = builder.shl(builder.bitcast(self.result, whole), _like(whole, shift))
        return Value(builder, builder.bitcast(builder.add(bits, _like(whole, plus)), kind))

    def lanes(self) -> list[Value]:
        """Return the scalars of a vector, or a scalar itself, as a list."""
        if self.result.type == DOUBLE:
            return [self]
        numbers = range(self.result.type.count)
        extract = self._builder.extract_element
        return [Value(self._builder, extract(self.result, INDEX(at))) for at in numbers]

    @staticmethod
    def joined(values: Sequence[Value]) -> Value:
        """Return a vector of scalars."""
        builder = values[0]._builder
        vector = ir.Constant(ir.VectorType(DOUBLE, len(values)), ir.Undefined)
        for at, value in enumerate(values):
            vector = builder.insert_element(vector, value.result, INDEX(at))
        return Value(builder, vector)

    def call(self, name: str) -> Value:
        """Apply a function of the C library, such as ``tanh``, to each lane."""
        module = self._builder.module
        kind = ir.FunctionType(DOUBLE, [DOUBLE])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        results = [self._builder.call(function, [lane.result]) for lane in self.lanes()]
        called = [Value(self._builder, result) for result in results]
        return called[0] if self.result.type == DOUBLE else Value.joined(called)


class Variable:
    """A value that changes in a loop."""

    def __init__(self, code: Code, first: Value) -> None:
        self._builder = code.builder
        with code.builder.goto_entry_block():
            self._place = code.builder.alloca(first.result.type)
        self.set(first)

    def get(self) -> Value:
        return Value(self._builder, self._builder.load(self._place))

    def set(self, value: Value) -> None:
        self._builder.store(value.result, self._place)


class Code:
    """Builder of one function without a return value.

    `width` is the number of lanes of a `Value`, 1 for scalars. `arguments` maps each argument's
    name to "floats" or "ints" (arrays of 64-bit numbers that do not overlap), or "int".
    """

    def __init__(self, width: int, arguments: Mapping[str, str]) -> None:
        pointers = {"floats": DOUBLE.as_pointer(), "ints": INTEGER.as_pointer(), "int": INTEGER}
        kinds = [pointers[kind] for kind in arguments.values()]
        function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), kinds), "kernel")
        for argument in function.args:
            if argument.type != INTEGER:
                argument.add_attribute("noalias")
        self.width = width
        self.arguments = dict(zip(arguments, function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block())
        self._type = DOUBLE if width == 1 else ir.VectorType(DOUBLE, width)

    def constant(self, value: float) -> Value:
        """Return a constant for all lanes."""
        return Value(self.builder, _like(self._type, value))

    def element(self, array: str, index: Any) -> Any:
        """Return one element of an array, an integer or a float."""
        return self.builder.load(self.builder.gep(self.arguments[array], [index]))

    def as_float(self, integer: Any) -> Value:
        """Return an integer as a float for all lanes."""
        return self.spread(self.builder.sitofp(integer, DOUBLE))

    def load(self, array: str, index: Any) -> Value:
        """Return row `index` of an array of floats, shape (rows, width)."""
        return Value(self.builder, self.builder.load(self._row(array, index), align=8))

    def store(self, array: str, index: Any, value: Value) -> None:
        """Write row `index` of an array of floats, shape (rows, width)."""
        self.builder.store(value.result, self._row(array, index), align=8)

    def scatter(self, array: str, first: Any, stride: Any, value: Value) -> None:
        """Write the lanes of a value to an array, at `first`, `first` + `stride`, ..."""
        for lane in value.lanes():
            pointer = self.builder.gep(self.arguments[array], [first])
            self.builder.store(lane.result, pointer)
            first = self.builder.add(first, stride)

    @contextmanager
    def loop(self, begin: Any, end: Any) -> Iterator[Any]:
        """Generate a loop around the block; yield the counter, from `begin` to `end` - 1."""
        builder = self.builder
        with builder.goto_entry_block():
            counter = builder.alloca(INTEGER)
        builder.store(begin, counter)
        head, body, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        at = builder.load(counter)
        builder.cbranch(builder.icmp_signed("<", at, end), body, after)
        builder.position_at_end(body)
        yield at
        builder.store(builder.add(at, INTEGER(1)), counter)
        builder.branch(head)
        builder.position_at_end(after)

    def compile(self) -> Callable[..., None]:
        """Compile for this processor; the result takes addresses and integers."""
        self.builder.ret_void()
        kinds = [
            ctypes.c_int64 if argument.type == INTEGER else ctypes.c_void_p
            for argument in self.arguments.values()
        ]
        engine = _compiled(str(self.builder.module))
        function: Any = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address("kernel"))
        function.engine = engine  # owns the machine code
        return function  # type: ignore[no-any-return]

    def spread(self, number: Any) -> Value:
        """Return a float for all lanes."""
        if self.width == 1:
            return Value(self.builder, number)
        empty = ir.Constant(self._type, ir.Undefined)
        first = self.builder.insert_element(empty, number, INDEX(0))
        mask = _like(ir.VectorType(INDEX, self.width), 0)
        return Value(self.builder, self.builder.shuffle_vector(first, empty, mask))

    def _row(self, array: str, index: Any) -> Any:
        first = self.builder.mul(index, INTEGER(self.width))
        pointer = self.builder.gep(self.arguments[array], [first])
        return self.builder.bitcast(pointer, self._type.as_pointer())


def _compiled(text: str) -> Any:
    """Return an engine with the machine code of LLVM assembly."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
