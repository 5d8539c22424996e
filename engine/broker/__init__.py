"""The simulated broker: its models are plain structs, its kernels are compiled when `simulated` is imported."""
