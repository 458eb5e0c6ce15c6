"""Stand between a database and workers: python proxy.py STORAGE PORT."""

import sys

from optuna.storages import run_grpc_proxy_server

from ncps_mlx.search._storage.open import open_storage

run_grpc_proxy_server(
    open_storage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2])
)
