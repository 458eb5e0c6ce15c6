"""Record the synapses of ncps 1.0.1's wirings, for tests/test_wirings.py.

Needs ncps, which the project does not install: ``pip install torch ncps==1.0.1`` in an environment of its own,
then ``python tests/references/make_wirings.py``. Writes ``wirings.npz`` beside this file.
"""

from pathlib import Path

import ncps.wirings
import numpy as np
from wiring_cases import CASES

NAMES = {
    "FullyConnected": {"output_size": "output_dim", "seed": "erev_init_seed"},
    "Random": {"output_size": "output_dim", "seed": "random_seed"},
}

if __name__ == "__main__":
    arrays: dict[str, np.ndarray] = {}
    for i, (name, arguments, input_size) in enumerate(CASES):
        ncps_arguments = {NAMES.get(name, {}).get(key, key): value for key, value in arguments.items()}
        wiring = getattr(ncps.wirings, name)(**ncps_arguments)
        wiring.build(input_size)
        arrays[f"{i}/adjacency"] = wiring.adjacency_matrix.astype(np.int8)
        arrays[f"{i}/sensory_adjacency"] = wiring.sensory_adjacency_matrix.astype(np.int8)
        arrays[f"{i}/neuron_types"] = np.array([wiring.get_type_of_neuron(n) for n in range(wiring.units)])
        layers = [wiring.get_neurons_of_layer(layer) for layer in range(wiring.num_layers)]
        arrays[f"{i}/layers"] = np.concatenate(layers)
        arrays[f"{i}/layer_sizes"] = np.array([len(layer) for layer in layers])
        arrays[f"{i}/output_size"] = np.array(wiring.output_dim)
    np.savez_compressed(Path(__file__).with_name("wirings.npz"), **arrays)
