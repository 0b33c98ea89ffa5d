"""The exponential and the sigmoid, for a float in numba and for a `Value` in LLVM code.

Without branches, tables and calls, so that it vectorises; without fused operations, so that its
bits are the same on every processor.

Method: x = k ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite, "Software Manual for the
Elementary Functions", 1980, with ln 2 in two parts, the first short enough that k times it
is exact), then e^r by a polynomial, in Estrin's order, and 2^k from the bits of k.
"""

from __future__ import annotations

from typing import Any

HIGHEST, LOWEST = 710.0, -746.0
"""Arguments are clipped to these, with the results infinity and 0."""

SATURATED = 708.0
"""Just below the greatest x for which both e^x and e^-x are normal numbers."""

INFINITY = float("inf")

ROUND = 1.5 * 2.0**52
"""Adding it to a number below 2^51 rounds to an integer, found in the sum's last bits."""

LOG2_E = float.fromhex("0x1.71547652b82fep+0")
LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")  # 42 bits: its product with k is exact
LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")

C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 = (
    float.fromhex("0x1.000000000000ap-1"),
    float.fromhex("0x1.55555555554fap-3"),
    float.fromhex("0x1.555555555088cp-5"),
    float.fromhex("0x1.1111111127b9bp-7"),
    float.fromhex("0x1.6c16c184266cdp-10"),
    float.fromhex("0x1.a01a012a69cb7p-13"),
    float.fromhex("0x1.a0199a16e272cp-16"),
    float.fromhex("0x1.71df253a0af57p-19"),
    float.fromhex("0x1.28ad68a24880dp-22"),
    float.fromhex("0x1.ad7f7b143fa7ep-26"),
)
"""The minimax polynomial q with e^r = 1 + r + r^2 q(r) for |r| <= ln 2 / 2, in relative error.

By Remez exchange in 60 digits; with rounded coefficients the error of e^r is below 2^-56.
"""


def greater(x: Any, y: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where x > y, else `no` (also where x or y is NaN)."""
    return x.where_greater(y, yes, no)


def power_of_two(shifted: Any) -> Any:
    """Return 2^k for `shifted` = k + ROUND, with -1022 <= k <= 1023, from its bits.

    The last bits are k; they are shifted into the exponent, and its bias is added.
    """
    return shifted.with_bits(52, 1023 << 52)


def terms(r: Any, scale: Any) -> Any:
    """Return three numbers whose sum is scale * (e^r - 1 - r), for |r| <= ln 2 / 2.

    Multiplying by a power of two is exact, so it stands where the chain of operations is short.
    """
    r2 = r * r
    r4 = r2 * r2
    s2 = scale * r2
    s6 = s2 * r4
    low = s2 * ((C0 + C1 * r) + (C2 + C3 * r) * r2)
    middle = s6 * ((C4 + C5 * r) + (C6 + C7 * r) * r2)
    high = (s6 * r4) * (C8 + C9 * r)
    return low, middle, high


def exp(x: Any) -> Any:
    """Return e^x, within 1 ulp of the correctly rounded one."""
    x = greater(x, HIGHEST, HIGHEST, x)
    x = greater(-x, -LOWEST, LOWEST, x)
    shifted = x * LOG2_E + ROUND
    k = shifted - ROUND
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    # 2^k in two factors, as 2^-1075 and 2^1024 are no normal numbers.
    halved = k * 0.5 + ROUND
    scale = power_of_two(halved)
    rest = power_of_two((k - (halved - ROUND)) + ROUND)
    low, middle, high = terms(r, scale)
    return (scale + ((scale * r + low) + (middle + high))) * rest


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x), within 3 ulp of the correctly rounded one.

    1 + e^-x is summed in the order with the lowest latency, which bounds the speed of training
    (an order with one addition more has 2 ulp). The result is 0 below -SATURATED, where e^-x
    overflows, and 1 above SATURATED.
    """
    shifted = x * -LOG2_E + ROUND
    k = shifted - ROUND
    r = (-x - k * LN2_HIGH) - k * LN2_LOW
    scale = power_of_two(shifted)
    low, middle, high = terms(r, scale)
    below = (((1.0 + scale) + scale * r) + low) + (middle + high)
    # The above is invalid beyond SATURATED.
    below = greater(greater(x, 0.0, x, -x), SATURATED, greater(x, 0.0, 1.0, INFINITY), below)
    return 1.0 / below
