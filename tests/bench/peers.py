"""The public ports whose designs are copied."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """A port.

    Attributes:
        repository: On GitHub.
        module: That has its ``CfC``.
        output: The argument that gives the size of its readout.
    """

    repository: str
    module: str
    output: str


PEERS = {
    "full": Peer("j8ckfi/cfc-mlx", "cfc_mlx", "output_size"),
    "lean": Peer("MLXPorts/ncps-mlx", "ncps.neurons", "proj_size"),
}
"""By design: see :mod:`tests.bench.port_cases`."""
