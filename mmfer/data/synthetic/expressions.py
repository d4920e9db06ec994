"""Where the 68 landmarks of a face lie, and how the muscles of an expression move them.

Points are (68, 2) in iBUG 300-W order. The origin is between the eyes, x points right, y down, and the unit is the
distance between the eye centres. Expressions are sums of the action units (AU) of Ekman and Friesen's Facial Action
Coding System (FACS), which numbers what single muscles do: 12 pulls up the corners of the lips, 4 lowers the brows.

Activations are `units`, float (27, 2): row = number of the action unit, columns = left and right half of the image.
"""

import numpy as np

EXPRESSIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # FER2013's order

# fmt: off
# Points on the left half of the image, and on the mid line.
LEFT_HALF = {
    # jaw, from the ear to the chin
    0: (-1.17, 0.02), 1: (-1.15, 0.34), 2: (-1.11, 0.65), 3: (-1.05, 0.93), 4: (-0.95, 1.20), 5: (-0.79, 1.44),
    6: (-0.57, 1.64), 7: (-0.30, 1.78), 8: (0, 1.83),
    # brow, from the temple inwards
    17: (-0.96, -0.20), 18: (-0.81, -0.33), 19: (-0.61, -0.38), 20: (-0.41, -0.35), 21: (-0.22, -0.27),
    # nose: bridge, then nostrils
    27: (0, -0.02), 28: (0, 0.18), 29: (0, 0.39), 30: (0, 0.60), 31: (-0.21, 0.755), 32: (-0.11, 0.785),
    33: (0, 0.805),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (-0.69, 0.01), 37: (-0.57, -0.075), 38: (-0.43, -0.075), 39: (-0.30, 0.03), 40: (-0.43, 0.065),
    41: (-0.57, 0.065),
    # outer edge of the lips, then the inner one
    48: (-0.42, 1.13), 49: (-0.26, 1.075), 50: (-0.11, 1.04), 51: (0, 1.06), 57: (0, 1.305), 58: (-0.12, 1.29),
    59: (-0.26, 1.23), 60: (-0.36, 1.135), 61: (-0.12, 1.13), 62: (0, 1.135), 66: (0, 1.145), 67: (-0.12, 1.14),
}
# Point of the left half -> its mirror image; points on the mid line are not named.
MIRROR = {
    0: 16, 1: 15, 2: 14, 3: 13, 4: 12, 5: 11, 6: 10, 7: 9, 17: 26, 18: 25, 19: 24, 20: 23, 21: 22, 31: 35, 32: 34,
    36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46,
    48: 54, 49: 53, 50: 52, 58: 56, 59: 55, 60: 64, 61: 63, 67: 65,
}
# Upper and lower edges that must never cross: eyelids, inner lips.
EDGES = ((61, 67), (62, 66), (63, 65), (37, 41), (38, 40), (43, 47), (44, 46))

# {AU: {point of the left half: (inwards, down)}} at activation 1; the right half moves as the mirror image.
MOVES: dict[int, dict[int, tuple[float, float]]] = {
    1: {19: (0, -0.05), 20: (0.01, -0.13), 21: (0.01, -0.16)},  # inner brow raiser
    2: {17: (0, -0.08), 18: (0, -0.13), 19: (0, -0.11), 20: (0, -0.04)},  # outer brow raiser
    4: {18: (0.02, 0.05), 19: (0.04, 0.11), 20: (0.06, 0.15), 21: (0.08, 0.15)},  # brow lowerer
    5: {37: (0, -0.06), 38: (0, -0.06), 40: (0, 0.015), 41: (0, 0.015)},  # upper lid raiser
    6: {40: (0, -0.03), 41: (0, -0.03)},  # cheek raiser
    7: {37: (0, 0.035), 38: (0, 0.035), 40: (0, -0.03), 41: (0, -0.03)},  # lid tightener
    9: {  # nose wrinkler
        20: (0.02, 0.05), 21: (0.03, 0.07), 31: (-0.01, -0.06), 32: (0, -0.05), 33: (0, -0.03), 40: (0, -0.015),
        49: (0, -0.05), 50: (0, -0.07), 51: (0, -0.06), 61: (0, -0.02), 62: (0, -0.02),
    },
    10: {  # upper lip raiser
        49: (0, -0.07), 50: (0, -0.10), 51: (0, -0.09), 60: (0, -0.01), 61: (0, -0.07), 62: (0, -0.07),
    },
    12: {  # lip corner puller: the smile
        48: (-0.15, -0.13), 49: (-0.09, -0.05), 50: (-0.04, 0.01), 51: (0, 0.02), 57: (0, 0.01),
        58: (-0.04, 0.01), 59: (-0.08, -0.04), 60: (-0.14, -0.12), 61: (-0.05, 0.02), 62: (0, 0.03),
        66: (0, 0.03), 67: (-0.05, 0.02),
    },
    15: {48: (0, 0.13), 49: (0, 0.05), 59: (0, 0.07), 60: (0, 0.12)},  # lip corner depressor
    17: {  # chin raiser
        7: (0, -0.05), 8: (0, -0.05), 48: (0, 0.02), 50: (0, -0.04), 51: (0, -0.04), 57: (0, -0.07),
        58: (0, -0.07), 59: (0, -0.03), 60: (0, 0.02), 61: (0, -0.04), 62: (0, -0.05), 66: (0, -0.05),
        67: (0, -0.04),
    },
    20: {  # lip stretcher
        48: (-0.15, 0.05), 49: (-0.08, 0), 58: (-0.04, 0), 59: (-0.08, 0.01), 60: (-0.14, 0.05),
        61: (-0.05, 0), 67: (-0.05, 0),
    },
    24: {  # lip pressor
        48: (0.05, 0), 49: (0.02, 0.03), 50: (0, 0.05), 51: (0, 0.05), 57: (0, -0.07), 58: (0, -0.07),
        59: (0, -0.04), 60: (0.05, 0),
    },
    25: {  # lips part
        49: (0, -0.01), 50: (0, -0.02), 51: (0, -0.02), 57: (0, 0.09), 58: (0, 0.09), 59: (0, 0.05),
        61: (0, -0.03), 62: (0, -0.03), 66: (0, 0.10), 67: (0, 0.095),
    },
    26: {  # jaw drop
        3: (0.01, 0.03), 4: (0.02, 0.08), 5: (0.02, 0.15), 6: (0.01, 0.21), 7: (0, 0.24), 8: (0, 0.24),
        48: (0.04, 0.15), 49: (0, 0.03), 50: (-0.01, -0.02), 51: (0, -0.02), 57: (0, 0.34), 58: (-0.04, 0.33),
        59: (-0.02, 0.26), 60: (0.03, 0.15), 61: (-0.03, -0.01), 62: (0, -0.01), 66: (0, 0.33), 67: (-0.05, 0.30),
    },
}
# fmt: on
UNITS = max(MOVES) + 1  # rows of an array of activations

# fmt: off
# {expression: {AU: (mean activation, probability that it takes part)}}. The units are those that Ekman and Friesen name
# for each emotion; how strong and how frequent they are is chosen here, so that expressions overlap as real ones do.
RECIPES: dict[str, dict[int, tuple[float, float]]] = {
    "angry": {
        4: (1, 1), 5: (0.3, 0.25), 7: (0.7, 0.85), 9: (0.25, 0.25), 17: (0.4, 0.4), 24: (0.8, 0.7),
        25: (0.5, 0.25),
    },
    "disgust": {
        4: (0.4, 0.6), 7: (0.5, 0.7), 9: (0.9, 0.95), 10: (0.8, 0.9), 15: (0.4, 0.5), 17: (0.5, 0.5),
        25: (0.5, 0.35),
    },
    "fear": {
        1: (0.8, 1), 2: (0.5, 0.85), 4: (0.55, 0.85), 5: (0.8, 0.9), 20: (0.8, 0.9), 25: (0.7, 0.95),
        26: (0.35, 0.6),
    },
    "happy": {6: (0.7, 0.85), 12: (1, 1), 25: (0.9, 0.7), 26: (0.25, 0.3)},
    "sad": {1: (0.8, 0.9), 4: (0.5, 0.7), 7: (0.3, 0.3), 15: (0.9, 0.95), 17: (0.6, 0.6)},
    "surprise": {1: (0.9, 1), 2: (0.9, 1), 5: (0.8, 0.9), 25: (0.6, 1), 26: (0.85, 0.95)},
    "neutral": {},
}
# fmt: on


def neutral_points() -> np.ndarray:
    """The landmarks (68, 2) of the average face at rest."""
    points = np.zeros((68, 2))
    for left, (x, y) in LEFT_HALF.items():
        points[left] = x, y
        if left in MIRROR:
            points[MIRROR[left]] = -x, y
    return points


def sample_units(rng: np.random.Generator, expression: str, intensity: float = 1.0) -> np.ndarray:
    """Draw activations (27, 2) of an expression: which units take part, how strongly, and 8 % left-right asymmetry."""
    units = np.zeros((UNITS, 2))
    for unit, (mean, probability) in RECIPES[expression].items():
        if rng.random() < probability:
            strength = mean * intensity * np.exp(rng.normal(0, 0.3))
            units[unit] = np.clip(strength * (1 + rng.normal(0, 0.08, 2)), 0, 1.4)
    return units


def move_points(points: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Landmarks (68, 2) of the face at rest -> those of the face with these activations (27, 2)."""
    points = points.copy()
    for unit, moves in MOVES.items():
        left, right = units[unit]
        for point, (inwards, down) in moves.items():
            if point in MIRROR:
                points[point] += left * inwards, left * down
                points[MIRROR[point]] += -right * inwards, right * down
            else:
                points[point, 1] += down * (left + right) / 2
    for upper, lower in EDGES:
        if points[lower, 1] < points[upper, 1] + 0.006:
            points[[upper, lower], 1] = points[[upper, lower], 1].mean() + np.array([-0.003, 0.003])
    return points
