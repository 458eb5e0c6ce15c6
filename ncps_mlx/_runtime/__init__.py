"""About the machine, not the model: BLAS, memory, threads, versions."""
