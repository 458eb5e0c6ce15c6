"""What `ncps-mlx COMMAND` does, a file for each: `add_arguments(parser)`, and `run(arguments)`, the exit status."""
