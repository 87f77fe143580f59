import torch
import torch.nn as nn


class Positions(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.register_buffer("rates", 10_000 ** (-torch.arange(0, width, 2) / width))

    def forward(self, x):
        places = torch.arange(x.shape[1])
        angles = places[:, None] * self.rates
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1)
        return x + waves.flatten(1)


if __name__ == "__main__":
    print(Positions()(torch.randn(2, 10, 32)).shape)
