"""Names for the arrays that many modules speak of; their shapes are told where they are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
