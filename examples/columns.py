import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    """Frames of a game to a vector."""

    def __init__(self, width=64):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 16, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),
        )
        self.out = nn.Linear(32, width)

    def forward(self, frames):
        # frames: as the environment returns them
        maps = self.conv(frames.float() / 255)
        return self.out(maps.amax(dim=(2, 3)))


if __name__ == "__main__":
    print(Encoder()(torch.randint(256, (4, 84, 84, 3), dtype=torch.uint8)))
