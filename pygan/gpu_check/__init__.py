"""``python -m pygan.gpu_check``: is pygan right on this GPU, and how fast is it?

    python -m pygan.gpu_check [--quick] [--json FILE] [--emulated] [--no-torch]

Compares every operator, and whole steps of a tiny StyleGAN2, with the CPU; times the operators
against Paddle's own and, where it is installed, PyTorch; relates them to what copies and matrix
products reach on the same GPU; and prints a report in Markdown for an issue. Five minutes at most.

Exit codes: 0 everything agrees; 1 something does not, or could not be computed; 2 there is nothing
to check here, and a message says what to do. A timing that fails is listed, and is no error.

The JSON file holds one object:

    schema      1
    mode        'gpu', or 'emulated' (no GPU: the CUDA kernels ran in the emulator, untimed)
    quick       whether --quick was given
    seconds     how long it all took
    device      facts: gpu, capability, driver, cuda_runtime, paddle, pygan, architectures, ...
    checks      list of {name, dtype, tf32, passed, error, tolerance, worst, message}:
                'error' is the largest error over 'worst' (forward, gradient or second-order
                gradient of which input), relative to its largest value on the CPU in float64;
                'message' the exception, where there was one
    ceilings    {copy_gbps, float32_tflops, tf32_tflops, float16_tflops}, measured; null if not
    timings     list of {op, shape, dtype, tf32, backward, pygan_ms, paddle_ms, torch_ms, ceiling,
                share, message}: medians of interleaved rounds; 'share' of the 'ceiling' ('copy' or
                the product of matrices in the same type) that pygan achieves on what the operator
                has to move or multiply at least
    notes       what else a reader should know

Files: device.py facts and what is missing; cases.py and checks.py operators; networks.py StyleGAN2;
workloads.py, timing.py and torch_worker.py times; ceilings.py; report.py the two outputs.
"""
