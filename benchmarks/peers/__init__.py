"""The competitors: the same networks written plainly in PyTorch and in stock Paddle operators."""
