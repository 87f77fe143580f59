import torch
import torch.nn as nn
import torch.nn.functional as F


def double_conv(inner, outer):
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1),
        nn.ReLU(),
    )


class SmallUNet(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.down1 = double_conv(1, 8)
        self.down2 = double_conv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = double_conv(16, 8)
        self.out = nn.Conv2d(8, classes, 1)

    def forward(self, scan):
        fine = self.down1(scan)
        coarse = self.down2(F.max_pool2d(fine, 2))
        up = self.up(coarse)
        x = self.merge(torch.cat([fine, up], dim=1))
        return self.out(x)


if __name__ == "__main__":
    print(SmallUNet()(torch.randn(2, 1, 45, 60)))
