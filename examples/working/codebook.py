import torch
import torch.nn as nn


class Codebook(nn.Module):
    def __init__(self, size=100, width=16):
        super().__init__()
        self.codes = nn.Embedding(size, width)

    def forward(self, x):
        flat = x.movedim(1, -1).flatten(0, 2)
        distances = torch.cdist(flat, self.codes.weight)
        nearest = distances.argmin(dim=1)
        found = self.codes(nearest).view(len(x), *x.shape[2:], -1)
        return found.movedim(-1, 1)


if __name__ == "__main__":
    print(Codebook()(torch.randn(2, 16, 6, 9)).shape)
