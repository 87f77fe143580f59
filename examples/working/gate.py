import torch
import torch.nn as nn


class Gate(nn.Module):
    def __init__(self, channels=32, reduction=4):
        super().__init__()
        self.down = nn.Linear(channels, channels // reduction)
        self.up = nn.Linear(channels // reduction, channels)

    def forward(self, x):
        mean = x.mean(dim=(2, 3))
        weights = self.up(self.down(mean).relu()).sigmoid()
        return x * weights[:, :, None, None]


if __name__ == "__main__":
    print(Gate()(torch.randn(2, 32, 14, 20)).shape)
