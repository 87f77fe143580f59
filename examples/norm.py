import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, channels, ratio=4):
        super().__init__()
        inner = channels // ratio
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x):
        gate = self.squeeze(x.mean(dim=(2, 3), keepdim=True))
        return x * gate.sigmoid()


class Stage(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, 3, padding=1)
        self.attention = Attention(outer)

    def forward(self, x):
        return self.attention(F.relu(self.conv(x)))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(Stage(3, 16), nn.MaxPool2d(2), Stage(16, 32))

    def forward(self, images):
        return self.stages(images)


if __name__ == "__main__":
    print(Backbone()(torch.randn(2, 3, 24, 24)))
