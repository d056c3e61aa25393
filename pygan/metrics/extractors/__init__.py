"""Networks that metrics and perceptual losses look at images with."""
