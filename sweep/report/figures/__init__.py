"""The pictures of a report, one module each."""

from __future__ import annotations

from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.curves import curves_picture, metrics_picture
from sweep.report.figures.final_errors import effects_picture, final_picture
from sweep.report.figures.heat import heat_picture
from sweep.report.figures.parallel import parallel_picture
from sweep.report.figures.rules import rules_pictures
from sweep.report.figures.sheet import Picture
from sweep.report.figures.weights import weights_picture

__all__ = ["pictures_of"]


def pictures_of(data: SweepData, pairs: Frame) -> list[Picture]:
    """Return the pictures that apply; effects come first if more than two keys vary."""
    overview = [effects_picture(data), heat_picture(data), parallel_picture(data)]
    curves = [curves_picture(data), metrics_picture(data)]
    first = [*overview, *curves] if len(data.varying) > 2 else [*curves, *overview]
    rest = [final_picture(data, "iters"), final_picture(data, "lr"), weights_picture(data)]
    return [picture for picture in (*first, *rest) if picture] + rules_pictures(data, pairs)
