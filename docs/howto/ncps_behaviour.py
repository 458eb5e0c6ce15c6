"""What ncps 1.0.1 (PyTorch) does where ncps-mlx differs.

pip install torch ncps
"""

# %% steps
import torch
from ncps.torch import LTC, CfC
from ncps.wirings import NCP, AutoNCP, FullyConnected

torch.manual_seed(0)
B, T, D, H = 4, 6, 3, 4
x, timespans = torch.randn(B, T, D), torch.rand(B, T, 1) + 0.1
for kind in (CfC, LTC):
    model = kind(D, H)
    batch, _ = model(x, timespans=timespans)
    alone = [
        model(x[i : i + 1], timespans=timespans[i : i + 1])[0]
        for i in range(B)
    ]
    print(f"{kind.__name__}: "
          f"off by {(batch - torch.cat(alone)).abs().max():.2f}")
try:
    CfC(D, 5)(x, timespans=timespans)
except RuntimeError as error:
    print(error)

# %% zero
model = LTC(D, H)
y, _ = model(x, timespans=torch.zeros(B, T, H))
print("at zero all outputs are NaN:", y.isnan().all().item())
y, _ = model(x, timespans=-timespans.expand(B, T, H))
print(f"below zero the largest is {y.abs().max():.0e}")

# %% parameters
softplus = torch.nn.functional.softplus
cell = LTC(D, 200).rnn_cell
for name in ("gleak", "cm", "w"):
    values = softplus(getattr(cell, name))
    print(f"{name}: {values.min():.2f} to {values.max():.2f}")
cell = LTC(D, H, implicit_param_constraints=False).rnn_cell
cell(x[:, 0], torch.zeros(B, H))[0].square().sum().backward()
with torch.no_grad():
    cell.w -= 100.0 * cell.w.grad
print("negative after a large step:", (cell.w < 0).any().item())
cell.apply_weight_constraints()
print("and after the call:", (cell.w < 0).any().item())

# %% wirings
wiring = AutoNCP(8, 2)
first = LTC(D, wiring)
print("first model:", first.synapse_count, "synapses")
second = LTC(D, wiring)
print("second model:", second.synapse_count, "synapses")
used = int(first.rnn_cell.sparsity_mask.sum())
print("first model now:", first.synapse_count, "of which it uses", used)
for make in (
    lambda: AutoNCP(8, 2, sparsity_level=0.0),
    lambda: NCP.from_config(NCP(4, 2, 2, 2, 2, 2, 2).get_config()),
):
    try:
        make()
    except (TypeError, ValueError) as error:
        print(error)

# %% counts
wiring = AutoNCP(8, 2)
model = LTC(D, wiring)
print("from the inputs:", model.sensory_synapse_count)
print("from the inputs, by its wiring:", wiring.sensory_synapse_count)
print("between neurons:", model.synapse_count)
print(wiring.adjacency_matrix)

# %% synapses
model = CfC(D, AutoNCP(8, 2))
model(x)[0].sum().backward()
inter = model.rnn_cell.layer_0
for name in ("ff1", "ff2", "time_a", "time_b"):
    gradient = getattr(inter, name).weight.grad[inter.sparsity_mask == 0]
    reached = int((gradient != 0).sum())
    print(f"{name}: {reached} of {gradient.numel()} "
          "absent synapses have a gradient")

# %% activation
outputs = []
for activation in ("relu", "no such thing"):
    torch.manual_seed(0)
    outputs.append(CfC(D, AutoNCP(8, 2), activation=activation)(x)[0])
print("the same outputs:", torch.equal(*outputs))

# %% motor
model = CfC(D, FullyConnected(8, 2))
print("output_size", model.output_size, "output", tuple(model(x)[0].shape))

# %% dropout
for layers in (1, 2):
    model = CfC(D, H, backbone_layers=layers, backbone_dropout=0.5).train()
    print(f"{layers} layers:",
          *(type(part).__name__ for part in model.rnn_cell.backbone))

# %% states
y, state = CfC(D, 5)(x)
print("y", tuple(y.shape), "state", tuple(state.shape))
y, state = CfC(D, 5, mixed_memory=True)(x)
print("y", tuple(y.shape),
      "state", tuple(tuple(part.shape) for part in state))

# %% start
model = CfC(D, H, mode="pure")
for name, values in model.rnn_cell.named_parameters():
    print(f"{name}: {'zero' if (values == 0).all() else 'drawn'}")
weight = CfC(D, 50).rnn_cell.ff1.weight
print("share of Xavier's limit: "
      f"{weight.abs().max() * (sum(weight.shape) / 6) ** 0.5:.3f}")
