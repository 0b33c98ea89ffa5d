"""The notebook's network and sample, and the numbers that it prints."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.training.data import Data
from sweep.training.network import Network

INPUTS, TARGETS = [[2, 5, 1, 4]], [[0.05, 0.1]]
CONFIG: dict[str, Any] = {
    "layers": [4, 3, 2],
    "activation": "sigmoid",
    "bias": "shared",
    "weights": [
        [[0.82, 0.53, 0.44], [0.15, 0.61, 0.39], [0.11, 0.41, 0.50], [0.45, 0.23, 0.68]],
        [[0.49, 0.71], [0.23, 0.21], [0.44, 0.62]],
    ],
    "biases": [0.5, 0.5],
}

HIDDEN = [0.9918374288468401, 0.9973748797433398, 0.9985719267115775]
OUTPUTS = [0.8395344467680094, 0.8841947961679333]
ERROR = 0.6191630604850664

# After one backpropagation with lr=0.1.
HIDDEN_AFTER = [0.9918044602061147, 0.9973735762666279, 0.9985710229371896]
OUTPUTS_AFTER = [0.8352069207845401, 0.8817114034280252]
WEIGHTS_AFTER = {
    "w1": 0.8198232996701793,
    "w2": 0.5299783598485821,
    "w3": 0.439972453580711,
    "w4": 0.14955824917544838,
    "w5": 0.6099458996214552,
    "w6": 0.38993113395177753,
    "w7": 0.10991164983508968,
    "w8": 0.409989179924291,
    "w9": 0.4999862267903555,
    "w10": 0.4496465993403587,
    "w11": 0.22995671969716414,
    "w12": 0.6799449071614221,
    "w13": 0.4794504990904563,
    "w14": 0.7020358307812165,
    "w15": 0.21939160098722876,
    "w16": 0.20199136664354855,
    "w17": 0.4293788688118612,
    "w18": 0.6119817547007638,
    "b1": 0.5,
    "b2": 0.4998870565497362,
}


def notebook_network() -> Network:
    """Return the network with its first weights."""
    return Network.build(**CONFIG)


def notebook_data() -> Data:
    """Return the one sample."""
    return Data(np.array(INPUTS, dtype=np.float64), np.array(TARGETS))
