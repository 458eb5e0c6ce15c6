"""About the machine, not the model: BLAS, memory, streams, threads, versions."""
