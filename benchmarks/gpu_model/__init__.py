"""What can be known of the CUDA kernels without a GPU: resources, counts, and a model's floors."""
