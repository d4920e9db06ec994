"""Who a rendered face is: the looks that stay the same in all images of one person. Units as in expressions."""

from dataclasses import dataclass

import numpy as np

from mmfer.data.synthetic.expressions import neutral_points


@dataclass(frozen=True, eq=False)
class Person:
    """Looks of one person. Factors are relative to the average face; greys run from 0 (black) to 1 (white)."""

    # shape: factors, or shifts in units
    head_width: float
    chin_length: float
    jaw_width: float  # added to the head's width below the ears
    eye_shift: float  # outwards
    eye_open: float
    eye_width: float
    brow_shift: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    nose_height: float
    mouth_width: float
    mouth_shift: float
    mouth_curve: float  # positive: corners up
    lip_height: float
    asymmetry: np.ndarray  # (68, 2), shift of each landmark
    # surface: greys, opacities, and lengths in units
    skin: float
    lip_darkness: float
    brow_width: float
    brow_darkness: float
    age: float  # 0 smooth, 1 wrinkled
    hair: float
    hairline: float  # y of its middle
    parting: float  # negative: left
    hair_length: float
    bald: bool
    beard: float  # opacity; 0: none
    moustache: float
    glasses: bool
    texture_seed: int  # of the skin's spots and the hair's strands


def sample_person(rng: np.random.Generator) -> Person:
    """Draw the looks of a person."""
    uniform, chance = rng.uniform, rng.random
    return Person(
        head_width=uniform(0.92, 1.08),
        chin_length=uniform(0.94, 1.06),
        jaw_width=uniform(-0.05, 0.06),
        eye_shift=uniform(-0.035, 0.035),
        eye_open=uniform(0.85, 1.2),
        eye_width=uniform(0.92, 1.08),
        brow_shift=uniform(-0.05, 0.05),
        brow_tilt=uniform(-0.07, 0.07),
        nose_length=uniform(0.93, 1.07),
        nose_width=uniform(0.85, 1.2),
        nose_height=uniform(0.8, 1.2),
        mouth_width=uniform(0.88, 1.12),
        mouth_shift=uniform(-0.04, 0.05),
        mouth_curve=rng.normal(0, 0.015),
        lip_height=uniform(0.75, 1.25),
        asymmetry=rng.normal(0, 0.012, (68, 2)),
        skin=uniform(0.42, 0.82),
        lip_darkness=uniform(0.14, 0.36),
        brow_width=uniform(0.07, 0.13),
        brow_darkness=uniform(0.4, 0.8),
        age=uniform(0.1, 1.0),
        hair=uniform(0.05, 0.45),
        hairline=uniform(-1.05, -0.75),
        parting=uniform(-0.5, 0.5),
        hair_length=uniform(0, 1.8),
        bald=chance() < 0.08,
        beard=uniform(0.1, 0.4) * (chance() < 0.12),
        moustache=uniform(0.3, 0.8) * (chance() < 0.08),
        glasses=chance() < 0.08,
        texture_seed=int(rng.integers(2**31)),
    )


def resting_points(person: Person) -> np.ndarray:
    """The landmarks (68, 2) of the person with a neutral expression."""
    points = neutral_points()
    jaw, brows, nose, mouth = points[:17], points[17:27], points[27:36], points[48:]  # views
    jaw[:, 0] *= person.head_width
    jaw[3:14, 0] *= 1 + person.jaw_width
    jaw[4:13, 1] = 1 + (jaw[4:13, 1] - 1) * (2 * person.chin_length - 1)
    brows[:, 1] += person.brow_shift + person.brow_tilt * (np.abs(brows[:, 0]) - 0.6)
    for eye in points[36:42], points[42:48]:
        centre = eye.mean(axis=0)
        outwards = np.sign(centre[0]) * person.eye_shift
        eye[:] = centre + (eye - centre) * (person.eye_width, person.eye_open) + (outwards, 0)
    nose[:, 1] *= person.nose_length
    nose[4:, 0] *= person.nose_width
    centre = np.array([0, 1.125])
    mouth[:] = centre + (mouth - centre) * (person.mouth_width, person.lip_height) + (0, person.mouth_shift)
    mouth[:, 1] -= person.mouth_curve * (np.abs(mouth[:, 0]) / 0.4) ** 2
    # The outline of the jaw may be more uneven than the features, which are close together.
    return points + person.asymmetry * np.where(np.arange(68) < 17, 1, 0.6)[:, None]
