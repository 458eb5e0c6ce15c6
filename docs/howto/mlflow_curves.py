"""Learning curves in MLflow while a model trains.

pip install mlflow ncps-mlx
"""

# %% log
import mlflow

from ncps_mlx import CfC, fit
from ncps_mlx.data import irregular_sines

task = irregular_sines(
    n_train=400, n_validation=100, n_test=100, readings=12
)
model = CfC(
    1, 16, output_size=1, return_sequences=False, backbone_units=16, seed=0
)

mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    history = fit(
        model, task, steps=90, progress=False,
        on_evaluate=lambda e: mlflow.log_metric("rmse", e.score, e.step),
    )

# %% read
client = mlflow.MlflowClient()
curve = client.get_metric_history(
    mlflow.last_active_run().info.run_id, "rmse"
)
print(len(curve), "points, to step", curve[-1].step)
assert [point.value for point in curve] == list(history.validation_score)
