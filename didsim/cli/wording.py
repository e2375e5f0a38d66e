"""How is a number written for a reader?  Durations, sizes and measured values, in few digits and with a unit that suits."""

import math

DURATIONS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def duration(seconds: float | None) -> str:
    """Three digits and a unit that suits.

    Example:
        >>> duration(0.00123), duration(250.0), duration(None)
        ('1.23 ms', '250 s', '')
    """
    if seconds is None:
        return ""
    scale, unit = next((pair for pair in DURATIONS if seconds >= pair[0]), (1e-9, "ns"))
    value = seconds / scale
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def size(count: int) -> str:
    """A count of bytes in the decimal unit that suits, one or two digits at least.

    Example:
        >>> size(512), size(4_776_850), size(138_538)
        ('512 bytes', '4.8 MB', '139 kB')
    """
    scale, unit = next((pair for pair in SIZES if count >= pair[0]), (1.0, "bytes"))
    value = count / scale
    return f"{value:.1f} {unit}" if value < 9.95 and scale > 1 else f"{value:.0f} {unit}"


def measured(value: float, digits: int = 3) -> str:
    """A value in a few digits: plainly where that is short, else as a power of ten.

    Example:
        >>> measured(0.18730280), measured(3.5527e-15), measured(242.0), measured(float("nan")), measured(1e-10)
        ('0.187', '3.55 × 10⁻¹⁵', '242', 'not a number', '10⁻¹⁰')
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 1e3 else f"{value:,.0f}".replace("-", "−")
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    ten = "10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return ten if mantissa == "1" else f"{mantissa} × {ten}"
