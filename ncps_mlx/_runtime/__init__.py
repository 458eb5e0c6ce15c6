"""What is about the machine, not the model: BLAS, memory, threads, versions."""
