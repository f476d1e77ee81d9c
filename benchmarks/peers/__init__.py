"""What a user would otherwise train, by PyTorch alone: each module is a network and its published recipe.

The hyper-parameters are the published ones; nothing is tuned, on the test set or otherwise.
"""

from __future__ import annotations

from peers import airbench94, reference, resnet8, resnet20, tutorial
from peers.plan import Peer

PEERS: dict[str, Peer] = {
    "airbench94": airbench94.PEER,
    "resnet20": resnet20.PEER,
    "resnet8": resnet8.PEER,
    "tutorial": tutorial.PEER,
    "reference": reference.PEER,
}
