"""An ncps (PyTorch) model trained on uneven time steps, taken to ncps-mlx.

pip install torch ncps ncps-mlx
"""

# %% train
import numpy as np
import torch
from ncps.torch import CfC

rng = np.random.default_rng(0)
gaps = rng.exponential(0.5, (512, 10)).astype("float32")  # (B, T)
angle = gaps.cumsum(axis=1) + rng.uniform(0, 2 * np.pi, (512, 1))
x = np.sin(angle)[..., None].astype("float32")  # (B, T, D)
y = np.cos(angle[:, -1:]).astype("float32")  # (B, O), at the last reading
x, y, gaps = torch.tensor(x), torch.tensor(y), torch.tensor(gaps)
timespans = gaps[..., None].expand(-1, -1, 16)  # (B, T, H): ncps needs it

torch.manual_seed(0)
model = CfC(1, 16, proj_size=1, return_sequences=False, backbone_units=32)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(200):
    rows = torch.randint(0, 256, (32,))
    output, state = model(x[rows], timespans=timespans[rows])
    loss = torch.mean((output - y[rows]) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with torch.no_grad():
    output, state = model(x[384:], timespans=timespans[384:])
    print(f"test error {torch.mean((output - y[384:]) ** 2) ** 0.5:.2f}")
torch.save(model.state_dict(), "model.pt")

# %% convert
from ncps_mlx import Split, from_torch, load, predict

trained = CfC(1, 16, proj_size=1, return_sequences=False, backbone_units=32)
trained.load_state_dict(torch.load("model.pt", weights_only=True))
trained.eval()

ours = from_torch(trained)
test = Split(
    x=x[384:].numpy(), y=y[384:].numpy(), time_delta=gaps[384:].numpy()
)
same = predict(ours, test)
print(f"largest difference {np.abs(same - output.numpy()).max():.0e}")
np.testing.assert_allclose(same, output, rtol=0, atol=1e-5)

ours.save("model.safetensors")
kept = load("model.safetensors")
assert np.array_equal(predict(kept, test), same)
print(type(kept).__name__, kept.parameter_count, "parameters")
