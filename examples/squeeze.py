import torch
import torch.nn as nn
import torch.nn.functional as F


class Tagger(nn.Module):
    """Pools a clip over time and names its scene."""

    def __init__(self, bands=40, scenes=8):
        super().__init__()
        self.conv = nn.Conv1d(bands, 32, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.norm = nn.BatchNorm1d(32)
        self.head = nn.Linear(32, scenes)

    def forward(self, clip):
        x = F.relu(self.conv(clip))
        x = self.pool(x).squeeze()
        x = self.norm(x)
        return self.head(x)


if __name__ == "__main__":
    print(Tagger()(torch.randn(1, 40, 100)))
