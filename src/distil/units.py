"""Units of measure that are read behind a number: each is a dimension and the factor to that dimension's first unit.

Only units that people write in prose and in answers; an unknown word behind a number is not a unit.
"""

from __future__ import annotations

_TABLE: dict[str, dict[float, str]] = {
    # dimension -> factor -> names
    "mass": {
        1e-6: "mcg µg μg ug microgram micrograms",
        1e-3: "mg milligram milligrams",
        1: "g gram grams",
        1e3: "kg kgs kilogram kilograms kilo kilos",
        1e6: "tonne tonnes",
        453.59237: "lb lbs pound pounds",
        28.349523125: "oz ounce ounces",
    },
    "length": {
        1e-9: "nm nanometer nanometers nanometre nanometres",
        1e-6: "µm μm micrometer micrometers",
        1e-3: "mm millimeter millimeters millimetre millimetres",
        1e-2: "cm centimeter centimeters centimetre centimetres",
        1: "m meter meters metre metres",
        1e3: "km kilometer kilometers kilometre kilometres",
        0.0254: "inch inches",
        0.3048: "ft foot feet",
        0.9144: "yd yard yards",
        1609.344: "mi mile miles",
    },
    "volume": {
        1e-3: "ml milliliter milliliters millilitre millilitres",
        1e-2: "cl",
        1e-1: "dl",
        1: "l liter liters litre litres",
        3.785411784: "gal gallon gallons",
        0.946352946: "quart quarts",
        0.473176473: "pint pints",
        0.2365882365: "cup cups",
        0.01478676478125: "tbsp tablespoon tablespoons",
        0.00492892159375: "tsp teaspoon teaspoons",
    },
    "time": {
        1e-3: "ms millisecond milliseconds",
        1: "s sec secs second seconds",
        60: "min mins minute minutes",
        3600: "h hr hrs hour hours",
        86400: "day days",
        604800: "week weeks",
    },
    "months": {1: "month months", 12: "year years yr yrs", 120: "decade decades", 1200: "century centuries"},
    "celsius": {1: "°c ℃ celsius"},
    "fahrenheit": {1: "°f ℉ fahrenheit"},
    "percent": {0.01: "% percent pct"},
    "dollars": {1: "$ usd dollar dollars", 0.01: "cent cents"},
    "euros": {1: "€ eur euro euros"},
    "sterling": {1: "£ gbp"},
    "yen": {1: "¥ jpy yen"},
    "rupees": {1: "₹ inr rupee rupees"},
    "bytes": {1: "byte bytes", 1e3: "kb", 1e6: "mb", 1e9: "gb", 1e12: "tb"},
    "speed": {1: "km/h kmh kph", 1.609344: "mph", 3.6: "m/s"},
    "frequency": {1: "hz", 1e3: "khz", 1e6: "mhz", 1e9: "ghz"},
    "power": {1: "watt watts", 1e3: "kw kilowatt kilowatts", 1e6: "mw megawatt megawatts"},
    "energy": {1: "kwh", 0.001163: "kcal calorie calories", 1 / 3600: "kj"},
    "voltage": {1: "volt volts"},
}

UNITS: dict[str, tuple[str, float]] = {
    name: (dimension, factor)
    for dimension, rows in _TABLE.items()
    for factor, names in rows.items()
    for name in names.split()
}
"""Lower-case unit -> (dimension, factor)."""
