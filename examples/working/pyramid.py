import torch
import torch.nn as nn


class Pyramid(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.fine = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.lateral = nn.Conv2d(2 * width, width, 1)

    def forward(self, images):
        fine = self.fine(images).relu()
        coarse = self.coarse(fine).relu()
        above = self.lateral(coarse)
        above = nn.functional.interpolate(above, size=fine.shape[-2:])
        return fine + above


if __name__ == "__main__":
    print(Pyramid()(torch.randn(2, 3, 45, 60)).shape)
