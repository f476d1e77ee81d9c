"""What a user would otherwise train, by PyTorch alone: each module is a published network and how it is trained.

The hyper-parameters are published ones, of the network's paper or of the optimizer's; each module says which, and what
differs. Nothing is tuned, on the test set or otherwise.
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
