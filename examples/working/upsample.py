import torch
import torch.nn as nn


class Upsample(nn.Module):
    def __init__(self, width=32, times=3):
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.widen = nn.Conv2d(width, 3 * times**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(times)

    def forward(self, images):
        x = self.body(images).relu()
        x = self.widen(x)
        return self.shuffle(x)


if __name__ == "__main__":
    print(Upsample()(torch.randn(2, 3, 16, 24)).shape)
