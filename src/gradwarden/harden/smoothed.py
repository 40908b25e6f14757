"""The smoothed model as a module: mean probabilities, or counted votes, under Gaussian noise.

Source: Cohen et al. 2019, arXiv:1902.02918, sec. 3 (votes); Salman et al. 2019, arXiv:1906.04584,
sec. 3.1 (mean probabilities, which can be differentiated).
"""

from __future__ import annotations

from torch import Tensor, nn

from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.harden.noise_training import check_sigma


class Smoothed(nn.Module):
    """x [N, ...] -> logarithm of the mean over `draws` noisy copies [N, classes].

    The noise comes from `seed` and is the same for every sample and call: the answer depends on x
    alone, and randomness hides nothing. With `votes` the mean is of one-hot answers, a vote added
    to each class so that its logarithm exists: what is certified, but it gives no gradient.
    """

    def __init__(
        self, model: nn.Module, *, sigma: float, draws: int = 32, seed: int = 0, votes: bool = False
    ) -> None:
        super().__init__()
        check_sigma(sigma)
        if draws < 1:
            raise BadInput(f"draws must be at least 1, got {draws}")
        self.model = model
        self.sigma, self.draws, self.seed, self.votes = sigma, draws, seed, votes
        self.train(model.training)

    def forward(self, x: Tensor) -> Tensor:
        """One forward of `draws` x N noisy copies."""
        like = x.new_empty((self.draws, *x.shape[1:]))
        noise = Draws(self.seed, range(self.draws), "Smoothed").normal(like)
        copies = x[:, None] + self.sigma * noise
        logits = self.model(copies.flatten(0, 1)).unflatten(0, (len(x), self.draws))
        if not self.votes:
            mean: Tensor = logits.log_softmax(2).logsumexp(1) - like.new_tensor(self.draws).log()
            return mean
        answers = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).to(x.dtype)
        counts = answers.sum(1) + 1
        return (counts / counts.sum(1, keepdim=True)).log()

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}, draws={self.draws}, seed={self.seed}, votes={self.votes}"
