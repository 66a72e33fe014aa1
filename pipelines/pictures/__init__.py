"""What people look at: labelled, with units, a title that says what to see, and a cell's colour the same in all.

`colours` is the one table of colours; `curves` and `matrices` are of trainings and scores, `memory`, `steps` (made of
`panels`) and `attention` of what a network does inside.
"""

from pipelines.pictures.attention import attention, glances
from pipelines.pictures.curves import curve_table, learning_curves
from pipelines.pictures.fans import fans
from pipelines.pictures.matrices import image, matrix
from pipelines.pictures.memory import FlowLine, gradient_flow, reach, truncation
from pipelines.pictures.panels import Axis, Panel
from pipelines.pictures.steps import Surprise, surprise, unrolled

__all__ = [
    "Axis",
    "FlowLine",
    "Panel",
    "Surprise",
    "attention",
    "curve_table",
    "fans",
    "glances",
    "gradient_flow",
    "image",
    "learning_curves",
    "matrix",
    "reach",
    "surprise",
    "truncation",
    "unrolled",
]
