import torch
import torch.nn as nn
import torch.nn.functional as F


class Price(nn.Module):
    """Regression with its loss inside."""

    def __init__(self, features=12):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x, price):
        predicted = self.body(x)
        return ((predicted - price) ** 2).mean()


if __name__ == "__main__":
    print(Price()(torch.randn(16, 12), torch.randn(16)))
